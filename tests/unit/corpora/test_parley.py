"""The corpus as a whole: same options, same bytes; interrupted work goes on; nothing of the truth leaks."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from pydantic import ValidationError

from merkit.core.errors import ConfigError
from merkit.corpora import _parley_media
from merkit.corpora._parley_plan import make_plan
from merkit.corpora.parley import SPEC, ParleyOptions, _noise, read
from merkit.data.corpus.manifest import read_manifest
from merkit.data.corpus.prepare import prepare
from merkit.data.features.published import read_published

pytest.importorskip("espeakng_loader", reason="needs the extra 'demo'")

SMALL = {"conversations": 3, "turns": 3, "speakers": 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parley")
    return folder, read(folder, ParleyOptions(**SMALL))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_options_give_the_same_bytes(made, tmp_path):
    folder, corpus = made

    again = read(tmp_path, ParleyOptions(**SMALL))

    assert contents(tmp_path) == contents(folder)
    assert again == corpus
    assert sorted(contents(folder)) == sorted(
        ["parley.json", "truth.parquet"]
        + [f"{kind}/c000{n}.{end}" for n in range(3) for kind, end in
           (("audio", "wav"), ("transcripts", "csv"), ("alignments", "json"))]
    )  # fmt: skip


def test_options_given_as_they_are_by_default_make_nothing_new(made):
    folder, corpus = made
    before = contents(folder)
    given = ParleyOptions.model_validate(ParleyOptions(**SMALL).model_dump() | {"snr_db": 30})

    assert read(folder, given) == corpus
    assert contents(folder) == before


def test_interrupted_work_goes_on_and_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    folder, _ = made
    wanted = contents(folder)
    spoken = []

    def killed_after_four(words, *arguments):
        if len(spoken) == 4:
            raise KeyboardInterrupt
        spoken.append(words)
        return speak(words, *arguments)

    speak = _parley_media.speak
    monkeypatch.setattr(_parley_media, "speak", killed_after_four)
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, ParleyOptions(**SMALL))
    monkeypatch.setattr(_parley_media, "speak", speak)

    read(tmp_path, ParleyOptions(**SMALL))

    assert contents(tmp_path) == wanted


def test_what_is_whole_is_not_spoken_again_and_what_is_damaged_is(tmp_path, monkeypatch):
    read(tmp_path, ParleyOptions(**SMALL))
    wanted = contents(tmp_path)
    (tmp_path / "audio" / "c0001.wav").write_bytes(b"cut short")
    (tmp_path / "alignments" / "c0002.json").write_text("{")
    spoken, speak = [], _parley_media.speak
    monkeypatch.setattr(_parley_media, "speak", lambda words, *rest: spoken.append(1) or speak(words, *rest))

    corpus = read(tmp_path, ParleyOptions(**SMALL))

    assert len(spoken) == sum(utterance.conversation != "c0000" for utterance in corpus.utterances)
    assert contents(tmp_path) == wanted


def test_a_folder_with_other_options_is_refused_and_left_alone(made):
    folder, _ = made
    before = contents(folder)

    with pytest.raises(ConfigError, match=r"made with seed 0, not 1\. Choose another folder"):
        read(folder, ParleyOptions(**SMALL, seed=1))

    assert contents(folder) == before


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "parley.json").write_text("not json")

    with pytest.raises(ConfigError, match=r"parley\.json' is not JSON"):
        read(tmp_path, ParleyOptions(**SMALL))


def test_the_manifest_points_into_the_recordings(made, tmp_path):
    folder, corpus = made

    manifest = prepare(SPEC, folder, tmp_path / "data", dict(SMALL))

    assert read_manifest(tmp_path / "data").utterances == manifest.utterances
    assert manifest.info.facts["optimum"] == corpus.facts["optimum"]
    for conversation in manifest.conversations():
        audio = {manifest.media_path(str(utterance.audio)) for utterance in conversation.utterances}
        assert len(audio) == 1
        info = soundfile.info(audio.pop())
        assert (info.samplerate, info.channels) == (16_000, 1)
        times = [(u.start_s, u.end_s) for u in conversation.utterances]
        assert all(end + 0.2 < start for (_, end), (start, _) in pairwise(times))
        assert all(0 < start < end < info.duration for start, end in times)


def test_speech_is_inside_the_times_and_noise_outside(made):
    folder, corpus = made
    for name in {utterance.audio for utterance in corpus.utterances}:
        samples, rate_hz = soundfile.read(folder / name)
        inside = np.zeros(len(samples), dtype=bool)
        for utterance in corpus.utterances:
            if utterance.audio == name:
                inside[round(utterance.start_s * rate_hz) : round(utterance.end_s * rate_hz)] = True
        ratio_db = 10 * np.log10(np.mean(samples[inside] ** 2) / np.mean(samples[~inside] ** 2))

        assert ratio_db == pytest.approx(30, abs=0.3)


def test_alignments_are_in_the_recordings_time(made):
    folder, corpus = made
    known = {utterance.id: utterance for utterance in corpus.utterances}
    seen = 0
    for path in sorted((folder / "alignments").glob("*.json")):
        for aligned in json.loads(path.read_text(encoding="utf-8"))["utterances"]:
            utterance = known[aligned["id"]]
            assert " ".join(word["label"] for word in aligned["words"]) == utterance.text
            for span in aligned["words"] + aligned["phones"]:
                assert utterance.start_s <= span["start_s"] + 1e-4 < span["end_s"] <= utterance.end_s + 1e-4
                seen += 1
    assert seen > 100


def test_transcripts_say_who_said_what_when(made):
    folder, corpus = made
    utterance = corpus.utterances[0]

    header, first, *_ = (folder / "transcripts" / "c0000.csv").read_text(encoding="utf-8").splitlines()

    assert header == "start_s,end_s,speaker,text"
    assert first.startswith(f"{utterance.start_s:.4f},{utterance.end_s:.4f},{utterance.speaker},")
    assert utterance.text in first


def test_cues_are_in_the_truth_and_nowhere_in_the_manifest(made):
    folder, corpus = made
    truth = pyarrow.parquet.read_table(folder / "truth.parquet").to_pylist()

    assert [row["id"] for row in truth] == [utterance.id for utterance in corpus.utterances]
    assert all(set(utterance.attributes) == {"emotion", "split", "session"} for utterance in corpus.utterances)
    assert {"words_class", "prosody_class", "voice", "fused_conversation_sad"} <= set(truth[0])
    for row in truth:
        for view in ("fused", "fused_conversation"):
            assert sum(row[f"{view}_{name}"] for name in ("neutral", "happy", "angry", "sad")) == pytest.approx(1)


def test_two_channels_keep_the_speakers_apart(tmp_path):
    corpus = read(tmp_path, ParleyOptions(**SMALL, channels=2, snr_db=60))

    for utterance in corpus.utterances:
        samples, rate_hz = soundfile.read(tmp_path / utterance.audio)
        part = samples[round(utterance.start_s * rate_hz) : round(utterance.end_s * rate_hz)]
        power = np.mean(part**2, axis=0)
        own = (int(utterance.speaker[1:]) - 1) % 2
        assert power[own] > 1000 * power[1 - own]


def test_word_prosody_and_xor_are_made_as_well(tmp_path):
    for mode in ("xor", "word_prosody"):
        corpus = read(tmp_path / mode, ParleyOptions(**SMALL, mode=mode))

        expected = corpus.facts["optimum"]["expected"]

        assert expected["text"] == pytest.approx(0.25)
        assert expected["audio"] == pytest.approx(0.25)
        assert expected["fused"] > 0.8


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    return folder, read(folder, ParleyOptions(**SMALL, noise=5))


def test_noise_is_a_stream_of_normal_numbers_for_every_utterance_and_changes_nothing_else(made, noisy):
    (plain_folder, plain), (folder, corpus) = made, noisy
    (features,) = corpus.features
    values = np.concatenate(list(features.arrays.values()))

    assert (features.name, features.modality) == ("noise", "video")
    assert list(features.arrays) == [utterance.id for utterance in corpus.utterances]
    assert {(array.shape, array.dtype) for array in features.arrays.values()} == {((1, 5), np.dtype("float32"))}
    assert np.abs(values.mean()) < 0.4  # 45 or more numbers: three standard errors
    assert 0.7 < values.std() < 1.3
    assert len(np.unique(values)) == values.size
    assert plain.features == ()
    assert corpus.utterances == plain.utterances
    assert corpus.facts == {**plain.facts, "options": {**plain.facts["options"], "noise": 5}}
    assert {name: content for name, content in contents(folder).items() if name != "parley.json"} == {
        name: content for name, content in contents(plain_folder).items() if name != "parley.json"
    }


def test_noise_is_drawn_from_the_seed(noisy):
    folder, corpus = noisy
    drawn, again = corpus.features[0].arrays, read(folder, ParleyOptions(**SMALL, noise=5)).features[0].arrays
    other = _noise(make_plan(ParleyOptions(**SMALL)), 5, seed=1).arrays

    assert other.keys() == drawn.keys() == again.keys()
    assert all(np.array_equal(again[id_], array) for id_, array in drawn.items())
    assert not any(np.array_equal(other[id_], drawn[id_]) for id_ in other)


def test_prepared_noise_is_published_beside_the_manifest(noisy, tmp_path):
    prepare(SPEC, noisy[0], tmp_path, {**SMALL, "noise": 5})

    assert read_published(tmp_path / "precomputed" / "noise").modality == "video"


def test_a_corpus_without_noise_has_the_record_that_it_had_before_there_was_any(made):
    options = json.loads((made[0] / "parley.json").read_text())["options"]

    assert list(options) == [
        "seed", "mode", "conversations", "turns", "speakers", "words_valence", "words_arousal", "prosody_valence",
        "prosody_arousal", "persistence", "contagion", "snr_db", "channels",
    ]  # fmt: skip


def test_folders_with_and_without_noise_refuse_each_other(made, noisy):
    with pytest.raises(ConfigError, match=r"made with noise 0, not 5\. Choose another folder"):
        read(made[0], ParleyOptions(**SMALL, noise=5))
    with pytest.raises(ConfigError, match=r"made with noise 5, not 0\. Choose another folder"):
        read(noisy[0], ParleyOptions(**SMALL))


def test_facts_hold_every_parameter_and_survive_json(made):
    _, corpus = made

    facts = json.loads(json.dumps(corpus.facts))

    assert set(facts["options"]) == set(ParleyOptions.model_fields) - {"noise", "hesitation"}
    assert None not in facts["options"].values()
    assert set(facts["optimum"]) == {"expected", "test"}


def test_the_default_corpus_leaves_room_between_one_modality_both_and_the_conversation():
    options = ParleyOptions()
    from merkit.corpora._parley_model import accuracies, expected_accuracies

    expected = expected_accuracies(options.model(), options.turns, 1000, 0)
    test = accuracies(options.model(), [each.script for each in make_plan(options) if each.split == "test"])

    for optimum in (expected, test):
        assert optimum["fused"] - max(optimum["text"], optimum["audio"]) > 0.10
        assert optimum["fused_conversation"] - optimum["fused"] > 0.08


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"speakers": 7}, "multiple of 2"),
        ({"speakers": 4}, "greater than or equal to 6"),
        ({"speakers": 26}, "less than or equal to 24"),
        ({"words_valence": 0.4}, "greater than or equal to 0.5"),
        ({"persistence": 0.9, "contagion": 0.2}, "exceed 1 together"),
        ({"conversations": 5}, "too few for 20 speakers"),
        ({"turns": 1}, "greater than or equal to 2"),
        ({"mode": "both"}, "complementary"),
        ({"snr_db": float("nan")}, "finite|less than|greater than"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"noise": -1}, "greater than or equal to 0"),
        ({"voices": 3}, "Extra inputs"),
    ],
)
def test_wrong_options_are_told(wrong, said):
    with pytest.raises(ValidationError, match=said):
        ParleyOptions(**wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"turns": 6},
        {"conversations": 4},
        {"speakers": 8, "conversations": 4},
        {"words_valence": 0.5},
        {"words_arousal": 1.0},
        {"prosody_valence": 1.0},
        {"prosody_arousal": 0.5},
        {"persistence": 0.0},
        {"contagion": 0.0},
        {"mode": "xor"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_of_the_plan_changes_the_plan(change):
    def turns(options):
        return [conversation.turns for conversation in make_plan(ParleyOptions(**{**SMALL, **options}))]

    assert turns(change) != turns({})
