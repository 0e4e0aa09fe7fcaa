"""The built-in voice model on real recordings: what it says, and where it says nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.commandline import call

import merkit

RATE_HZ = 16_000
SHOWN = ("neutral", "happy", "sad", "angry")
FEWER = "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"


@pytest.fixture(scope="module")
def clips(real_data: Path) -> dict[str, list[Path]]:
    """Recordings of EMO-DB by speaker, of which the model has heard none."""
    with (real_data / "emodb" / "labels.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    by_speaker: dict[str, list[Path]] = {}
    for row in rows[::7]:  # of all emotions
        by_speaker.setdefault(row["speaker"], []).append(real_data / "emodb" / row["file"])
    assert sum(len(own) >= 5 for own in by_speaker.values()) >= 2
    return by_speaker


def test_silence_music_noise_and_one_clip_have_no_label_and_a_reason(
    clips: dict[str, list[Path]], tmp_path: Path
) -> None:
    generator, times = np.random.default_rng(0), np.arange(6 * RATE_HZ) / RATE_HZ
    notes = 220.0 * 2.0 ** (generator.integers(0, 12, 12) / 12)  # plucked, two in a second
    music = sum(
        np.where(times >= at, np.exp(-4 * (times - at).clip(0)), 0.0)
        * np.sin(2 * np.pi * partial * note * times)
        / partial
        for at, note in zip(np.arange(12) / 2, notes, strict=True)
        for partial in (1, 2, 3)
    )
    sounds = {
        "silence": np.zeros(6 * RATE_HZ),
        "music": 0.2 * music / np.abs(music).max(),
        "noise": 0.1 * generator.normal(size=6 * RATE_HZ),
        "clip": sf.read(next(iter(clips.values()))[0])[0],
    }
    for name, samples in sounds.items():
        sf.write(tmp_path / f"{name}.wav", samples, RATE_HZ)

    done = call("analyze", tmp_path, "--checkpoint", "builtin:voice", "--out", tmp_path / "out")

    assert done.code == 0
    for name in sounds:
        written = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert written["segments"]
        for segment in written["segments"]:
            assert (segment["label"], segment["probabilities"], segment["confidence"]) == (None, None, None)
            assert segment["reason"] == (FEWER if name == "clip" else "no speech")
            assert (segment["arousal"] is not None) == (name == "clip")


def test_labels_are_given_to_whom_enough_was_heard_of_whatever_stands_beside(clips: dict[str, list[Path]]) -> None:
    (one, own), (other, few) = [item for item in clips.items() if len(item[1]) >= 5][:2]
    rows = [{"id": path.stem, "speaker": one, "audio": path} for path in own[:5]]
    rows += [{"id": path.stem, "speaker": other, "audio": path} for path in few[:2]]
    order = np.random.default_rng(0).permutation(len(rows))
    model = merkit.load("builtin:voice", "cpu")

    together = {prediction.id: prediction for prediction in model.predict(rows)}
    shuffled = {prediction.id: prediction for prediction in model.predict([rows[n] for n in order], batch_size=3)}
    alone = {prediction.id: prediction for prediction in model.predict(rows[:5])}

    for row in rows:
        found, again = together[row["id"]], shuffled[row["id"]]
        assert (found.label, found.reason) == (again.label, again.reason)
        assert found.arousal == pytest.approx(again.arousal, abs=1e-3)
        assert dict(found.probabilities) == pytest.approx(dict(again.probabilities), abs=1e-3)
        if row["speaker"] == one:
            assert tuple(found.probabilities) == SHOWN
            assert found.label in SHOWN or (found.reason or "").startswith("unsure")
            assert dict(alone[row["id"]].probabilities) == pytest.approx(dict(found.probabilities), abs=1e-3)
        else:
            assert (found.label, dict(found.probabilities), found.reason) == (None, {}, FEWER)
    assert any(prediction.label is not None for prediction in alone.values())


def test_options_show_all_labels_without_a_prior(clips: dict[str, list[Path]]) -> None:
    own = next(own for own in clips.values() if len(own) >= 5)
    rows = [{"speaker": "A", "audio": path} for path in own[:5]]

    everything = merkit.load("builtin:voice", "cpu", labels="all", prior="even").predict(rows)
    by_default = merkit.load("builtin:voice", "cpu").predict(rows)

    assert everything.labels == (*SHOWN, "fear", "disgust", "surprise")
    for flat, weighed in zip(everything, by_default, strict=True):
        assert flat.arousal == pytest.approx(weighed.arousal, abs=1e-5)
        # .8 against .2 / 3: twelve times as much for neutral, whatever was heard
        ratio = flat.probabilities["neutral"] / flat.probabilities["sad"]
        assert weighed.probabilities["neutral"] / weighed.probabilities["sad"] == pytest.approx(12 * ratio, rel=1e-3)
