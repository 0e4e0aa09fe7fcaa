"""Majority, text lookup and bag of words: fitted once, against values by hand and from scikit-learn."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from merkit.core import lookup
from merkit.core.batch import Batch
from merkit.core.errors import MerkitError
from merkit.core.model import FittedModel

TEXTS = ("so good", "so bad", "good day", "bad day", "a bad night", "so good", "rain again", "a good night's rain")
LABELS = (0, 1, 0, 1, 1, 0, 2, 2)
FLOORS = ("majority", "text_lookup", "bag_of_words")


def batch(texts: Sequence[str | None], labels: Sequence[int] | None = None, turns: int | None = None) -> Batch:
    """Return a batch of utterances; with ``turns``, of conversations of so many turns, the last one padded by one."""
    mask = torch.ones(len(texts), dtype=torch.bool)
    numbers = None if labels is None else torch.tensor(labels)
    if turns is not None:
        mask = torch.arange(-(-len(texts) // turns) * turns).reshape(-1, turns) < len(texts)
        if numbers is not None:
            numbers = torch.full(mask.shape, -100).masked_scatter(mask, numbers)
    return Batch(
        ids=tuple(f"u{number}" for number in range(len(texts))),
        mask=mask,
        inputs={},
        present={},
        speakers=torch.zeros(mask.shape, dtype=torch.long),
        labels=numbers,
        texts=tuple(texts),
    )


def fitted(name: str, classes: int = 3, training: Batch | None = None, **settings: Any) -> FittedModel:
    spec = lookup.load("models", name)
    model = spec.build({}, classes, spec.config(**settings))
    model.fit([batch(TEXTS, LABELS)] if training is None else [training], seed=0)
    return model.eval()


def probabilities(model: FittedModel, texts: Sequence[str | None]) -> np.ndarray:
    return model(batch(texts)).logits.double().softmax(dim=-1).numpy()


def test_majority_answers_with_the_shares_whatever_is_said() -> None:
    found = probabilities(fitted("majority", training=batch(TEXTS[:5], [2, 1, 2, 2, 0])), ["anything", None])

    np.testing.assert_allclose(found, [[0.2, 0.2, 0.6]] * 2, atol=1e-7)


def test_the_first_of_equally_common_classes_wins() -> None:
    model = fitted("majority", training=batch(TEXTS[:4], [1, 1, 2, 2]))

    assert model(batch(["x"])).logits.argmax().item() == 1


def test_a_class_that_training_never_saw_is_finite_and_never_wins() -> None:
    for name in FLOORS:
        found = fitted(name, classes=4)(batch([*TEXTS, None])).logits

        assert torch.isfinite(found).all()
        assert found.softmax(dim=-1)[:, 3].max() < 1e-6


def test_a_known_text_has_its_label_and_an_unknown_one_the_shares() -> None:
    found = probabilities(fitted("text_lookup"), ["so good", "so  good\n", "So good", None])

    # twice class 0, plus the shares 3/8, 3/8, 2/8 as one more observation
    known = [(2 + 3 / 8) / 3, 3 / 8 / 3, 2 / 8 / 3]
    np.testing.assert_allclose(found, [known, known, [3 / 8, 3 / 8, 2 / 8], [3 / 8, 3 / 8, 2 / 8]], atol=1e-6)


def test_shares_break_the_tie_of_a_text_with_two_labels() -> None:
    model = fitted("text_lookup", training=batch(["oh", "oh", "well", "well"], [0, 1, 1, 1]))

    assert model(batch(["oh"])).logits.argmax().item() == 1


def test_a_lookup_keeps_no_sentence() -> None:
    state = fitted("text_lookup").state_dict()

    assert {name: tensor.dtype for name, tensor in state.items()} == {
        "log_prior": torch.float32,
        "hashes": torch.int64,
        "counts": torch.float32,
    }


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
@pytest.mark.parametrize("classes", [2, 3])
def test_bag_of_words_is_scikit_learns_pipeline(classes: int, class_weights: str) -> None:
    pairs = [(text, label) for text, label in zip(TEXTS, LABELS, strict=True) if label < classes]
    texts, labels = zip(*pairs, strict=True)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    regression = LogisticRegression(
        C=3.0, class_weight="balanced" if class_weights == "inverse" else None, max_iter=1000
    ).fit(vectorizer.fit_transform(texts), labels)

    model = fitted(
        "bag_of_words", classes, batch(texts, labels), inverse_penalty=3.0, sublinear=True, class_weights=class_weights
    )
    questions = ["good rain", "bad bad night", "never heard", ""]

    expected = regression.predict_proba(vectorizer.transform(questions))
    # weights are kept in float32
    np.testing.assert_allclose(probabilities(model, questions), expected, atol=1e-6)


def test_a_missing_text_falls_back_on_the_shares() -> None:
    np.testing.assert_allclose(probabilities(fitted("bag_of_words"), [None]), [[3 / 8, 3 / 8, 2 / 8]], atol=1e-7)


def test_missing_texts_and_missing_labels_are_left_out_of_training() -> None:
    more = batch([*TEXTS, None, "so bad"], [*LABELS, 1, -100])

    clean, patchy = fitted("bag_of_words"), fitted("bag_of_words", training=more)

    assert torch.equal(clean.weight, patchy.weight)
    np.testing.assert_allclose(patchy.log_prior.exp(), [3 / 9, 4 / 9, 2 / 9], atol=1e-7)


def test_one_class_alone_needs_no_regression() -> None:
    found = probabilities(fitted("bag_of_words", training=batch(["a word", "two words"], [1, 1])), ["a word", None])

    np.testing.assert_allclose(found, [[0.0, 1.0, 0.0]] * 2, atol=1e-6)


def test_texts_without_a_common_term_are_an_error() -> None:
    with pytest.raises(MerkitError, match="no term occurs in 9 or more of the 8 training texts"):
        fitted("bag_of_words", min_count=9)


@pytest.mark.parametrize("name", FLOORS)
def test_nothing_labelled_is_an_error(name: str) -> None:
    with pytest.raises(MerkitError, match=f"{name}: no labelled utterance"):
        fitted(name, training=batch(TEXTS, [-100] * len(TEXTS)))


@pytest.mark.parametrize("name", FLOORS)
def test_batches_add_up_and_conversations_are_utterances_too(name: str) -> None:
    spec = lookup.load("models", name)
    whole, parts = fitted(name), spec.build({}, 3, spec.config())
    parts.fit([batch(TEXTS[:5], LABELS[:5], turns=3), batch(TEXTS[5:], LABELS[5:])], seed=0)
    questions = batch(TEXTS, turns=3)

    found = parts(questions).logits

    assert found.shape == (3, 3, 3)
    torch.testing.assert_close(found[questions.mask], whole(batch(TEXTS)).logits)


@pytest.mark.parametrize("name", FLOORS)
def test_a_model_of_another_size_takes_what_a_checkpoint_holds(name: str, tmp_path: Path) -> None:
    spec = lookup.load("models", name)
    model, questions = fitted(name), batch([*TEXTS, None])
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = fitted(name, training=batch(["entirely different words", "and more of them"], [0, 1]))
    other(questions)  # a vectorizer kept from before loading would be wrong after it

    for target in (spec.build({}, 3, spec.config()), other):
        target.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)

        assert torch.equal(target(questions).logits, model(questions).logits)


@pytest.mark.parametrize("name", FLOORS)
def test_a_checkpoint_with_a_missing_tensor_is_refused(name: str) -> None:
    state = fitted(name).state_dict()
    del state["log_prior"]

    with pytest.raises(RuntimeError, match="log_prior"):
        fitted(name).load_state_dict(state, strict=True)


@pytest.mark.parametrize("name", FLOORS)
def test_fitting_twice_gives_the_same(name: str) -> None:
    first, second = fitted(name), fitted(name)

    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


def test_a_batch_without_texts_gets_the_shares() -> None:
    without = dataclasses.replace(batch(TEXTS), texts=())

    for name in ("text_lookup", "bag_of_words"):
        model = fitted(name)
        assert torch.equal(model(without).logits, model.log_prior.expand(len(TEXTS), 3))


def test_another_thread_never_sees_a_half_made_vectorizer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted("bag_of_words")
    make = model._make_vectorizer

    def visible_while_unfinished(**settings: Any) -> Any:
        vectorizer = make(**settings)

        class Watched(type(vectorizer)):
            def __setattr__(self, name: str, value: Any) -> None:
                assert name != "idf_" or model._vectorizer is None, "visible before its weights are set"
                super().__setattr__(name, value)

        vectorizer.__class__ = Watched
        return vectorizer

    monkeypatch.setattr(model, "_make_vectorizer", visible_while_unfinished)

    assert probabilities(model, ["so good"]).argmax() == LABELS[0]
