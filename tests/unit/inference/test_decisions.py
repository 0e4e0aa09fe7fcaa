"""From logits to what is said: prior, shown labels, unsure, and the reference that a speaker needs."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tests.deciding import ENCODERS, LABELS, add_rule, recognizer
from tests.miniature import write_tone
from tests.tiny import built

from merkit.core.batch import Batch, ModelOutput
from merkit.core.errors import MerkitError
from merkit.core.types import Prediction, Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.inference.bulk import predict_corpus
from merkit.inference.decisions import Decisions
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import save_checkpoint
from merkit.io.decision_rule import DecisionOptions, DecisionRule

ABC = ("a", "b", "c")
LOG2 = math.log(2.0)


def decide(
    logits: Sequence[float], rule: dict[str, Any] | None = None, temperature: float = 1.0, arousal: float = 0.0
) -> Prediction:
    """Return what is said of one utterance with sound."""
    here = torch.ones(1, dtype=torch.bool)
    batch = Batch(("u",), here, {}, {"audio": here}, torch.zeros(1, dtype=torch.long))
    output = ModelOutput(torch.tensor([logits]), {"arousal": torch.tensor([arousal])})
    decisions = Decisions(ABC, temperature, None if rule is None else DecisionRule(**rule))
    (prediction,) = decisions.predictions(batch, output, {})
    return prediction


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, [2 / 4, 1 / 4, 1 / 4]),
        ({}, [2 / 4, 1 / 4, 1 / 4]),
        ({"labels": ["a", "b"]}, [2 / 3, 1 / 3]),
        ({"labels": ["c", "b"]}, [1 / 2, 1 / 2]),
        ({"prior": {"b": 0.8}}, [0.2 / 1.1, 0.8 / 1.1, 0.1 / 1.1]),  # .1 * 2, .8 * 1, .1 * 1
        ({"labels": ["a", "b"], "prior": {"b": 0.8}}, [0.4 / 1.2, 0.8 / 1.2]),  # .2 * 2, .8 * 1
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_probabilities_are_evidence_times_prior_over_the_shown_labels(
    rule: dict[str, Any] | None, expected: list[float], temperature: float
) -> None:
    found = decide([LOG2 * temperature, 0.0, 0.0], rule, temperature)

    assert list(found.probabilities.values()) == pytest.approx(expected, abs=1e-6)
    assert found.label == list(found.probabilities)[int(np.argmax(expected))]
    assert (found.confidence, found.reason, found.arousal) == (pytest.approx(max(expected)), None, None)


@pytest.mark.parametrize(
    ("thresholds", "labels", "confidence"),
    [
        ((0.5, 0.5, 0.5), ("c", "a"), 0.9),
        ((0.75, 0.2, 0.95), ("a", "b"), 0.75),  # reached is enough
        ((0.9, 0.9, 0.95), (), 0.9),
    ],
)
def test_each_label_is_predicted_by_its_own_threshold(
    thresholds: tuple[float, ...], labels: tuple[str, ...], confidence: float
) -> None:
    here = torch.ones(1, dtype=torch.bool)
    batch = Batch(("u",), here, {}, {"audio": here}, torch.zeros(1, dtype=torch.long))
    logits = torch.tensor([[math.log(3.0), -math.log(4.0), math.log(9.0)]], dtype=torch.float64)  # .75, .2, .9

    decisions = Decisions(ABC, 1.0, thresholds=[t - 1e-9 for t in thresholds])
    (found,) = decisions.predictions(batch, ModelOutput(logits), {})

    assert list(found.probabilities.values()) == pytest.approx([0.75, 0.2, 0.9])
    assert (found.labels, found.label) == (labels, labels[0] if labels else None)
    assert found.confidence == pytest.approx(confidence)
    assert found.reason == (None if labels else "no label reaches its threshold")


def test_an_utterance_read_in_parts_has_the_labels_of_the_mean_of_their_probabilities() -> None:
    decisions = Decisions(ABC, 1.0, thresholds=(0.5, 0.5, 0.5))
    parts = [
        decisions.prediction("u", dict(zip(ABC, values, strict=True)), ("audio",))
        for values in ((0.9, 0.2, 0.4), (0.3, 0.2, 0.7))
    ]

    found = decisions.joined(parts)

    assert found.labels == ("a", "c")
    assert list(found.probabilities.values()) == pytest.approx([0.6, 0.2, 0.55])


@pytest.mark.parametrize(("unsure_below", "label"), [(0.5, "a"), (0.51, None), (0.0, "a")])
def test_below_the_threshold_there_are_probabilities_and_no_label(unsure_below: float, label: str | None) -> None:
    found = decide([LOG2, 0.0, 0.0], {"unsure_below": unsure_below})  # .5, .25, .25

    assert found.label == label
    assert found.is_unsure is (label is None)
    assert list(found.probabilities.values()) == pytest.approx([0.5, 0.25, 0.25])
    assert found.confidence == pytest.approx(0.5)
    assert found.reason == (None if label else "unsure: the highest probability, 0.50, is below 0.51")


def test_a_probability_at_the_threshold_is_enough() -> None:
    assert decide([0.0, 0.0, 0.0], {"labels": ["a", "b"], "unsure_below": 0.5}).label == "a"


def test_a_probability_just_below_the_threshold_is_not_printed_as_reached() -> None:
    found = decide([LOG2 - 0.001, 0.0, 0.0], {"unsure_below": 0.5})  # .49975

    assert found.reason == "unsure: the highest probability, 0.49, is below 0.5"


@pytest.mark.parametrize(("logit", "arousal"), [(0.0, 0.5), (math.log(3.0), 0.75), (-math.log(3.0), 0.25)])
def test_arousal_is_the_sigmoid_of_the_models_logit(logit: float, arousal: float) -> None:
    assert decide([0.0, 0.0, 0.0], {"arousal": True}, arousal=logit).arousal == pytest.approx(arousal)


def test_arousal_that_the_model_lacks_or_that_is_not_finite_is_an_error() -> None:
    here = torch.ones(1, dtype=torch.bool)
    batch = Batch(("u",), here, {}, {"audio": here}, torch.zeros(1, dtype=torch.long))
    decisions = Decisions(ABC, 1.0, DecisionRule(arousal=True))

    with pytest.raises(MerkitError, match="its output has none"):
        list(decisions.predictions(batch, ModelOutput(torch.zeros(1, 3)), {}))
    with pytest.raises(MerkitError, match="'u' a probability that is not finite"):
        decide([0.0, 0.0, 0.0], {"arousal": True}, arousal=math.nan)


def corpus(folder: Path, speakers: str, seconds: float = 2.0) -> Manifest:
    """Write a tone per letter, each a conversation of its own; a space is a speaker that is not known."""
    utterances = []
    for number, speaker in enumerate(speakers):
        write_tone(folder / f"{number}.wav", 300.0 + 311 * (number % 7) + 5 * number, seconds)
        utterances.append(Utterance(f"u{number}", f"c{number}", 0, speaker.strip(), audio=f"{number}.wav"))
    return write_manifest(folder, utterances, name="tones", version=1)


def predicted(model: Recognizer, manifest: Manifest, **options: Any) -> dict[str, Prediction]:
    found = list(model.predict_turns(list(manifest.turns(None, *model.reach)), **options))
    assert found
    return {prediction.id: prediction for prediction in found}


@pytest.mark.parametrize(
    ("speakers", "seconds", "reason"),
    [
        ("AAAA", 3.0, "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"),
        ("AAAAA", 2.0, None),
        ("AAAAA", 1.8, "less than 10 s of this speaker: a voice is compared with the speaker's own average"),
        ("AAAAAAAAAA", 0.9, "less than 10 s of this speaker: a voice is compared with the speaker's own average"),
        ("AAAAAAAAAA", 1.0, None),
        # a speaker who is not known is one person within a conversation, and each tone is one
        ("      ", 3.0, "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_without_enough_of_a_speaker_there_is_arousal_and_no_label(
    tmp_path: Path, speakers: str, seconds: float, reason: str | None, stored: bool
) -> None:
    model = recognizer({"unsure_below": 0.0})
    features = tmp_path / "features" if stored else None

    found = predicted(model, corpus(tmp_path / "data", speakers, seconds), features=features)

    for prediction in found.values():
        assert prediction.reason == reason
        assert (prediction.label is None) == (reason is not None)
        assert (prediction.confidence is None) == (reason is not None)
        assert list(prediction.probabilities) == ([] if reason else list(LABELS[:4]))
        assert prediction.arousal is not None
        assert 0.0 < prediction.arousal < 1.0
        assert prediction.modalities == ("audio",)


def test_speakers_are_counted_one_by_one(tmp_path: Path) -> None:
    found = predicted(recognizer({"unsure_below": 0.0}), corpus(tmp_path, "ABABABABA"))

    assert [prediction.label is None for prediction in found.values()] == [False, True] * 4 + [False]


def test_an_utterance_without_sound_has_no_label_and_is_no_reference(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "AAAA")
    silent = Utterance("u4", "c4", 0, "A", text="hello")
    manifest = write_manifest(tmp_path, [*manifest.utterances, silent], name="tones", version=1)

    found = predicted(recognizer(), manifest)

    assert found["u4"] == Prediction("u4", None, {}, None, (), "no input that the model reads")
    assert not found["u4"].is_unsure
    assert {found[name].reason for name in ("u0", "u3")} == {
        "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"
    }


def test_batch_mates_order_and_chunks_change_no_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = corpus(tmp_path, "AABABAABBAB")
    model = recognizer({"unsure_below": 0.53, "prior": None})
    whole = predicted(model, manifest)
    assert len({prediction.label for prediction in whole.values()}) > 2

    alone = predicted(model, manifest, batch_size=1)
    turns = list(manifest.turns())
    backwards = {prediction.id: prediction for prediction in model.predict_turns(turns[::-1])}
    statistics = model.speaker_statistics(turns)
    by_itself = {turn.utterance.id: next(iter(model.predict_turns([turn], statistics=statistics))) for turn in turns}
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 3)
    in_chunks = predicted(model, manifest)

    for other in (alone, backwards, by_itself, in_chunks):
        assert other.keys() == whole.keys()
        for name, prediction in whole.items():
            assert (other[name].label, other[name].arousal) == (prediction.label, pytest.approx(prediction.arousal))
            assert other[name].probabilities == pytest.approx(prediction.probabilities, abs=1e-5)


def test_training_and_evaluation_read_all_labels_whatever_the_rule(tmp_path: Path) -> None:
    manifest = corpus(tmp_path, "AB")
    model = recognizer()
    from merkit.data.dataset import Dataset
    from merkit.data.features.sources import open_sources

    turns = list(manifest.turns())
    dataset = Dataset([[turn] for turn in turns], open_sources(model.encoders, turns, None), "utterance")

    for prediction in model.predict_dataset(dataset):
        assert list(prediction.probabilities) == list(LABELS) == list(model.labels)
        assert prediction.label in LABELS
        assert (prediction.reason, prediction.arousal) == (None, None)


def test_the_mean_of_pieces_is_decided_like_a_whole() -> None:
    decisions = Decisions(ABC, 1.0, DecisionRule(unsure_below=0.6, arousal=True))

    def piece(*values: float, arousal: float = 0.5) -> Prediction:
        return Prediction("u", "a", dict(zip(ABC, values, strict=True)), max(values), ("audio",), None, arousal)

    joined = decisions.joined([piece(0.8, 0.1, 0.1, arousal=0.2), piece(0.2, 0.7, 0.1, arousal=0.6)])

    assert (joined.label, joined.confidence, joined.arousal) == (None, pytest.approx(0.5), pytest.approx(0.4))
    assert joined.reason == "unsure: the highest probability, 0.50, is below 0.6"
    nothing = Prediction("u", None, {}, None, ("audio",), "fewer than 5 utterances", 0.4)
    assert decisions.joined([nothing, nothing]) == nothing


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model", *built("single", ENCODERS, LABELS), {"trained_on": {"utterances": ""}}, "")
    return add_rule(tmp_path / "model", {"unsure_below": 0.0})


def interrupted(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, manifest: Manifest, out: Path, **options: Any
) -> None:
    """Begin to predict a corpus in chunks of two utterances, and stop in the third."""
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 2)
    whole, calls = Recognizer.predict_chunk, []

    def stopped(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Recognizer, "predict_chunk", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict_corpus(checkpoint, manifest, out, **options)


def test_a_resumed_prediction_compares_with_the_whole_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    manifest = corpus(tmp_path / "data", "AABAABAAB")
    interrupted(monkeypatch, checkpoint, manifest, tmp_path / "resumed.parquet")

    done = predict_corpus(checkpoint, manifest, tmp_path / "resumed.parquet")
    monkeypatch.setattr("merkit.inference.predictor.CHUNK", 2048)
    predict_corpus(checkpoint, manifest, tmp_path / "fresh.parquet")

    assert done.old == 4
    resumed, fresh = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("resumed", "fresh"))
    assert resumed.schema == fresh.schema
    assert fresh.column_names == ["id", "label", "confidence", "modalities", "reason", *(f"p:{x}" for x in LABELS[:4])]
    for one, other in zip(resumed.to_pylist(), fresh.to_pylist(), strict=True):
        assert (one["label"], one["reason"]) == (other["label"], other["reason"])
        assert (one["label"] is None) == (one["p:sad"] is None) == (int(one["id"][1:]) % 3 == 2)
        assert (one["confidence"] or 0.0) == pytest.approx(other["confidence"] or 0.0, abs=1e-5)


def test_csv_and_json_lines_leave_empty_what_is_not_known(tmp_path: Path, checkpoint: Path) -> None:
    manifest = corpus(tmp_path / "data", "AAAAAB")

    done = predict_corpus(checkpoint, manifest, tmp_path / "p.csv")
    predict_corpus(checkpoint, manifest, tmp_path / "p.jsonl")
    again = predict_corpus(checkpoint, manifest, tmp_path / "p.csv")

    assert (done.without_label, done.old, again.without_label, again.old) == (1, 0, 1, 6)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["label"] == "" == row["p:sad"] for row in rows] == [False] * 5 + [True]
    assert [line["label"] is None and line["p:sad"] is None for line in lines] == [False] * 5 + [True]
    assert rows[5]["reason"] == lines[5]["reason"] != ""


def test_a_part_is_made_again_where_another_recording_of_a_speaker_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    manifest = corpus(tmp_path / "data", "AAAAAAAAA")
    interrupted(monkeypatch, checkpoint, manifest, tmp_path / "resumed.parquet")
    write_tone(tmp_path / "data" / "8.wav", 5000.0, 2.0)

    done = predict_corpus(checkpoint, manifest, tmp_path / "resumed.parquet")
    predict_corpus(checkpoint, manifest, tmp_path / "fresh.parquet")

    assert done.old == 0
    assert pq.read_table(tmp_path / "resumed.parquet").equals(pq.read_table(tmp_path / "fresh.parquet"))


def test_other_options_are_another_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    manifest, out = corpus(tmp_path / "data", "AAAAAAA"), tmp_path / "p.parquet"
    interrupted(monkeypatch, checkpoint, manifest, out)

    even = predict_corpus(checkpoint, manifest, out, options=DecisionOptions(prior="even"))
    again = predict_corpus(checkpoint, manifest, out, options=DecisionOptions(prior="even"))
    everything = predict_corpus(checkpoint, manifest, out, options=DecisionOptions("all", "even"))

    assert (even.old, again.old, everything.old) == (0, 7, 0)
    assert [name for name in pq.read_table(out).column_names if name.startswith("p:")] == [f"p:{x}" for x in LABELS]


def test_predictions_of_a_model_without_a_rule_have_the_columns_they_always_had(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", *built("single", ENCODERS, LABELS), {"trained_on": {"utterances": ""}}, "")

    predict_corpus(tmp_path / "model", corpus(tmp_path / "data", "AB", 0.2), tmp_path / "p.parquet")

    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["id", "label", "confidence", "modalities", *(f"p:{x}" for x in LABELS)]
    assert table.column("label").null_count == 0
