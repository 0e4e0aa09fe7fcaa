"""Speakers' own statistics."""

from pathlib import Path

import numpy as np
import pytest
from tests.miniature import write_tone
from tests.tiny import built

from merkit.core.encoder import EncoderConfig, EncoderHome
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.source import read
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.data.features.sources import open_sources, open_store, speaker_statistics
from merkit.data.features.store import MemoryStore, fingerprint_hash
from merkit.inference.recognizer import Recognizer


def corpus(folder: Path, speakers: str) -> Manifest:
    """Write a tone per letter, higher and higher, each a conversation; a space is a speaker that is not known."""
    utterances = []
    for number, speaker in enumerate(speakers):
        write_tone(folder / f"{number}.wav", 300.0 + 900 * number, 0.2)
        utterances.append(Utterance(f"u{number}", f"c{number}", 0, speaker.strip(), audio=f"{number}.wav"))
    return write_manifest(folder, utterances, name="tones", version=1)


@pytest.mark.parametrize(("speakers", "alone"), [("AA", False), ("AB", True), ("  ", True)])
def test_a_recording_is_compared_with_those_of_its_speaker(tmp_path: Path, speakers: str, alone: bool) -> None:
    manifest = corpus(tmp_path, speakers)
    spec = load("encoders", "logmel")
    encoder = spec.build(spec.config(n_mels=8, normalize="speaker"), "audio", EncoderHome())

    turns = list(manifest.turns())
    array = open_sources({"audio": encoder}, turns, tmp_path / "features")["audio"].get(turns[0])

    assert array is not None
    # alone, a recording has mean 0 in every band: the statistics are its own
    assert np.allclose(array.mean(0), 0.0, atol=1e-3) is alone


def test_speakers_are_measured_once_however_many_chunks_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = corpus(tmp_path, "AABB")
    encoders = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "normalize": "speaker"}}
    recognizer = Recognizer(*built("single", encoders, ("low", "high")))
    whole = list(recognizer.predict_turns(list(manifest.turns())))
    calls = []

    def counted(*arguments: object) -> object:
        calls.append(1)
        return speaker_statistics(*arguments)

    monkeypatch.setattr("merkit.inference.predictor.speaker_statistics", counted)
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 1)
    in_chunks = list(recognizer.predict_turns(list(manifest.turns())))

    assert len(calls) == 1
    assert [prediction.id for prediction in in_chunks] == [f"u{number}" for number in range(4)]
    for one, other in zip(whole, in_chunks, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("in_memory", [True, False])
def test_speaker_statistics_count_utterances_and_seconds(tmp_path: Path, in_memory: bool) -> None:
    manifest = corpus(tmp_path, "AAB ")
    encoders = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "normalize": "speaker"}}
    recognizer = Recognizer(*built("single", encoders, ("low", "high")))

    features = None if in_memory else tmp_path / "features"
    found = recognizer.speaker_statistics(list(manifest.turns()), features)["audio"]

    counts = {key: (own.utterances, round(own.seconds, 6)) for key, own in found.items()}  # each tone has 0.2 s
    assert counts == {("A", ""): (2, 0.4), ("B", ""): (1, 0.2), ("", "c3"): (1, 0.2)}


def test_features_in_memory_are_those_of_the_store_and_no_file_is_written(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "AAB ")
    spec = load("encoders", "logmel")
    encoder = spec.build(spec.config(n_mels=8, normalize="speaker"), "audio", EncoderHome())
    turns = list(manifest.turns())
    files = sorted(tmp_path.rglob("*"))

    in_memory = open_sources({"audio": encoder}, turns, None)["audio"]
    assert sorted(tmp_path.rglob("*")) == files
    stored = open_sources({"audio": encoder}, turns, tmp_path / "features")["audio"]

    for turn in turns:
        expected = stored.get(turn)
        assert expected is not None
        np.testing.assert_array_equal(in_memory.get(turn), expected)
        assert in_memory.length(turn) == stored.length(turn) == len(expected)


def test_features_in_memory_are_checked_like_stored_ones() -> None:
    store = MemoryStore()
    store.add([("a", "content", np.ones((2, 3)))])

    with pytest.raises(MerkitError, match="Features of 'b' are empty"):
        store.add([("b", "content", np.ones((0, 3)))])
    with pytest.raises(MerkitError, match=r"Features of 'b' are float64 \[time, 4\], those of the others in this call"):
        store.add([("b", "content", np.ones((2, 4)))])
    assert store.missing({"a": "content", "b": "content"}) == ["b"]
    assert store.missing({"a": "other"}) == ["a"]
    with pytest.raises(KeyError):
        store.get("a", "other")


PLUG_IN = """
from merkit.core.encoder import EncoderConfig, EncoderSpec
from merkit.encoders.sound.measures import SoundMeasures

class Loudness(SoundMeasures):
    pass

def build(config, modality, home):
    return Loudness("loudness", 1, ("mean",), lambda samples: abs(samples).mean())

SPEC = EncoderSpec(
    name="loudness", modalities=("audio",), summary="Loudness", config=EncoderConfig, build=build
)
"""


def test_an_edited_encoder_outside_merkit_does_not_read_what_its_old_code_stored(tmp_path: Path) -> None:
    def folder(source: str) -> Path:
        (tmp_path / "loudness.py").write_text(source)
        spec = load("encoders", str(tmp_path / "loudness.py"))
        return open_store(spec.build(EncoderConfig(), "audio", EncoderHome()), tmp_path / "features").folder

    before = folder(PLUG_IN)

    assert folder(PLUG_IN + "# a comment changes nothing") == before
    assert folder(PLUG_IN.replace("mean())", "max())")) != before


def test_an_edit_of_a_module_that_an_encoder_imports_begins_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loudness.py").write_text("import loudness_scale\n" + PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    folders = []
    for scale in (1, 2):
        (tmp_path / "loudness_scale.py").write_text(f"SCALE = {scale}\n")
        read.cache_clear()  # as in a new process
        spec = load("encoders", str(tmp_path / "loudness.py"))
        folders.append(open_store(spec.build(EncoderConfig(), "audio", EncoderHome()), tmp_path / "features").folder)

    assert folders[0] != folders[1]


def test_the_stores_of_merkit_s_encoders_are_named_by_their_fingerprints(tmp_path: Path) -> None:
    spec = load("encoders", "logmel")
    encoder = spec.build(spec.config(), "audio", EncoderHome())

    name = f"logmel-{fingerprint_hash(encoder.fingerprint())[:12]}"

    assert open_store(encoder, tmp_path).folder == tmp_path / name
