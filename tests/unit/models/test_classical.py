"""Linear and SVM on pooled features: fitted once, against scikit-learn run by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from merkit.core import lookup
from merkit.core.batch import Batch, Padded
from merkit.core.encoder import EncoderHome
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.model import FittedModel
from merkit.encoders._stored_vectors import StoredVectors
from merkit.io.checkpoint import build_model

NAMES = ("linear", "svm")
DIMS = {"text": 5, "audio": 3}


class Vectors(StoredVectors):
    """Vectors as they are: only ``forward`` is called here."""

    def __init__(self, modality: str, dim: int, dropout: float = 0.0) -> None:
        super().__init__(modality, dim, standardise=False, dropout=dropout)

    fingerprint = content = extract = describe = None  # type: ignore[assignment]


Vectors.__abstractmethods__ = frozenset()


def drawn(count: int, seed: int = 0, classes: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return vectors by modality, of very different scales, and labels that they partly tell."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    scales = {"text": np.array([1.0, 100.0, 0.01, 1.0, 1.0]), "audio": np.array([1.0, 1.0, 50.0])}
    vectors = {}
    for modality, dim in DIMS.items():
        signal = np.eye(max(dim, classes))[labels][:, :dim]
        vectors[modality] = ((generator.normal(size=(count, dim)) + signal) * scales[modality] + 7).astype(np.float32)
    return vectors, labels


def batch(
    vectors: Mapping[str, np.ndarray],
    labels: Sequence[int] | np.ndarray | None = None,
    absent: Mapping[str, Sequence[int]] | None = None,
) -> Batch:
    """Return a batch of utterances with one frame per modality; what is absent is garbage."""
    count = len(next(iter(vectors.values())))
    inputs, present = {}, {}
    for modality, rows in vectors.items():
        has = torch.ones(count, dtype=torch.bool)
        has[list((absent or {}).get(modality, ()))] = False
        data = torch.from_numpy(rows)[:, None].clone()
        data[~has] = 1e3
        inputs[modality], present[modality] = Padded(data, has[:, None]), has
    return Batch(
        ids=tuple(f"u{number}" for number in range(count)),
        mask=torch.ones(count, dtype=torch.bool),
        inputs=inputs,
        present=present,
        speakers=torch.zeros(count, dtype=torch.long),
        labels=None if labels is None else torch.as_tensor(np.asarray(labels), dtype=torch.long),
    )


def built(name: str, modalities: Sequence[str] = ("text", "audio"), classes: int = 3, **settings: Any) -> FittedModel:
    spec = lookup.load("models", name)
    encoders = {modality: Vectors(modality, DIMS[modality]) for modality in modalities}
    model = spec.build(encoders, classes, spec.config(**settings))
    assert isinstance(model, FittedModel)
    return model.eval()


def fitted(name: str, *batches: Batch, **settings: Any) -> FittedModel:
    model = built(name, tuple(batches[0].inputs), **settings)
    model.fit(batches, seed=0)
    return model


def probabilities(model: FittedModel, questions: Batch) -> np.ndarray:
    with torch.no_grad():
        return model(questions).logits.double().softmax(dim=-1).numpy()


def joined(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([vectors[modality] for modality in ("text", "audio") if modality in vectors], axis=1)


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_is_scikit_learns_scaled_logistic_regression(classes: int, class_weights: str) -> None:
    (vectors, labels), (others, _) = drawn(60, classes=classes), drawn(20, seed=1, classes=classes)
    weight = "balanced" if class_weights == "inverse" else None
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, class_weight=weight, max_iter=1000))
    by_hand.fit(joined(vectors), labels)

    model = fitted("linear", batch(vectors, labels), classes=classes, inverse_penalty=0.5, class_weights=class_weights)

    # the solver stops at a gradient of 1e-4; features and weights are kept in float32
    np.testing.assert_allclose(probabilities(model, batch(others)), by_hand.predict_proba(joined(others)), atol=1e-4)


def test_svm_on_features_that_never_vary_predicts_what_scikit_learns_does() -> None:
    labels = np.array([0, 0, 0, 1])
    zeros = {"text": np.zeros((4, DIMS["text"])), "audio": np.zeros((4, DIMS["audio"]))}
    by_hand = SVC(C=1.0).fit(joined(zeros), labels)

    model = fitted("svm", batch(zeros, labels), classes=2)

    scores = model(batch(zeros)).logits.double()
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], by_hand.decision_function(joined(zeros)), atol=1e-6)


@pytest.mark.parametrize("class_weights", ["none", "inverse"])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_svm_predicts_what_scikit_learns_does(classes: int, kernel: str, class_weights: str) -> None:
    (vectors, labels), (others, _) = drawn(80, classes=classes), drawn(40, seed=1, classes=classes)
    weight = "balanced" if class_weights == "inverse" else None
    by_hand = make_pipeline(StandardScaler(), SVC(C=2.0, kernel=kernel, class_weight=weight, break_ties=True))
    by_hand.fit(joined(vectors), labels)
    decision = by_hand.decision_function(joined(others))
    scores = np.stack([np.zeros(40), decision], axis=1) if classes == 2 else decision

    model = fitted(
        "svm",
        batch(vectors, labels),
        classes=classes,
        inverse_penalty=2.0,
        kernel=kernel,
        class_weights=class_weights,
    )
    found = probabilities(model, batch(others))

    assert found.argmax(axis=1).tolist() == by_hand.predict(joined(others)).tolist()
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # the tolerance of libsvm's solver


@pytest.mark.parametrize("name", NAMES)
def test_sequences_are_pooled_by_mean_or_by_mean_and_standard_deviation(name: str) -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 5, size=50)
    labels = generator.integers(2, size=50)
    frames = [
        generator.normal(scale=1 + 4 * label, size=(length, 3)).astype(np.float32)
        for label, length in zip(labels, lengths, strict=True)
    ]
    data, mask = torch.full((50, 6, 3), 1e3), torch.zeros(50, 6, dtype=torch.bool)
    for row, sequence in enumerate(frames):
        data[row, : len(sequence)] = torch.from_numpy(sequence)
        mask[row, : len(sequence)] = True
    pooled = np.array([np.concatenate([rows.mean(0), rows.std(0)]) for rows in frames])
    sequences = Batch(
        ids=tuple(map(str, range(50))),
        mask=torch.ones(50, dtype=torch.bool),
        inputs={"audio": Padded(data, mask)},
        present={"audio": torch.ones(50, dtype=torch.bool)},
        speakers=torch.zeros(50, dtype=torch.long),
        labels=torch.from_numpy(labels),
    )

    for pooling, by_hand in (("mean", pooled[:, :3]), ("mean_std", pooled)):
        estimator = LogisticRegression(max_iter=1000) if name == "linear" else SVC()
        expected = make_pipeline(StandardScaler(), estimator).fit(by_hand, labels).predict(by_hand)
        found = probabilities(fitted(name, sequences, classes=2, pooling=pooling), sequences).argmax(axis=1)
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_modality_is_the_training_mean_of_those_who_have_it(name: str) -> None:
    vectors, labels = drawn(60)
    model = fitted(name, batch(vectors, labels, {"audio": range(10)}))
    filled = {**vectors, "audio": vectors["audio"].copy()}
    filled["audio"][:10] = vectors["audio"][10:].mean(axis=0)

    absent = probabilities(model, batch(vectors, absent={"audio": range(10)}))

    np.testing.assert_allclose(absent, probabilities(model, batch(filled)), atol=1e-5)
    assert np.abs(absent - probabilities(model, batch(vectors)))[:10].max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_an_utterance_without_any_modality_gets_the_class_shares_and_is_not_learned_from(name: str) -> None:
    vectors, labels = drawn(60)
    nothing = {"text": [0, 1], "audio": [0, 1]}
    without = {modality: rows[2:] for modality, rows in vectors.items()}

    model, clean = fitted(name, batch(vectors, labels, nothing)), fitted(name, batch(without, labels[2:]))

    shares = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(probabilities(model, batch(vectors, absent=nothing))[:2], [shares] * 2, atol=1e-6)
    np.testing.assert_allclose(probabilities(model, batch(without)), probabilities(clean, batch(without)), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_utterances_without_a_label_are_not_learned_from(name: str) -> None:
    vectors, labels = drawn(60)
    some = labels.copy()
    some[50:] = -100
    first = {modality: rows[:50] for modality, rows in vectors.items()}

    patchy, clean = fitted(name, batch(vectors, some)), fitted(name, batch(first, labels[:50]))

    assert all(torch.equal(value, clean.state_dict()[key]) for key, value in patchy.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_batches_add_up(name: str) -> None:
    vectors, labels = drawn(60)
    parts = [{modality: rows[part] for modality, rows in vectors.items()} for part in (slice(0, 17), slice(17, 60))]

    whole = fitted(name, batch(vectors, labels))
    added = fitted(name, batch(parts[0], labels[:17]), batch(parts[1], labels[17:]))

    np.testing.assert_allclose(probabilities(added, batch(vectors)), probabilities(whole, batch(vectors)), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_training_never_saw_is_finite_and_never_wins(name: str) -> None:
    vectors, labels = drawn(60)
    model = fitted(name, batch(vectors, np.where(labels == 1, 3, labels)), classes=5)

    found = model(batch(vectors, absent={"text": [0], "audio": [0]})).logits

    assert torch.isfinite(found).all()
    assert found.softmax(dim=-1)[:, [1, 4]].max() < 1e-6
    assert set(found.argmax(dim=-1).tolist()) == {0, 2, 3}


@pytest.mark.parametrize("name", NAMES)
def test_one_class_alone_needs_no_fit(name: str) -> None:
    vectors, _ = drawn(10)

    found = probabilities(fitted(name, batch(vectors, [2] * 10)), batch(vectors))

    np.testing.assert_allclose(found, [[0.0, 0.0, 1.0]] * 10, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_learn_from_is_an_error(name: str) -> None:
    vectors, labels = drawn(10)

    with pytest.raises(MerkitError, match=f"{name}: no labelled utterance"):
        fitted(name, batch(vectors, [-100] * 10))
    with pytest.raises(MerkitError, match="no training utterance has this modality"):
        fitted(name, batch(vectors, labels, {"audio": range(10)}))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_another_size_takes_what_a_checkpoint_holds(name: str, tmp_path: Path) -> None:
    vectors, labels = drawn(60)
    model = fitted(name, batch(vectors, labels))
    fewer = {modality: rows[:9] for modality, rows in vectors.items()}
    save_file(model.state_dict(), tmp_path / "model.safetensors")

    for target in (built(name), fitted(name, batch(fewer, labels[:9]))):
        target.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)

        assert torch.equal(target(batch(vectors)).logits, model(batch(vectors)).logits)


def test_a_linear_svm_keeps_no_utterance() -> None:
    vectors, labels = drawn(60)

    state = fitted("svm", batch(vectors, labels), kernel="linear").state_dict()

    assert state["vectors"].shape == (3, 8)  # one hyperplane for each pair of classes


def test_the_regression_says_where_it_did_not_converge(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.models.linear.MAX_ITERATIONS", 2)
    vectors, labels = drawn(60)

    fitted("linear", batch(vectors, labels))

    assert "linear: stopped after 2 iterations" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_dropout_of_the_encoder_has_no_part_in_the_fit(name: str) -> None:
    vectors, labels = drawn(60)
    spec = lookup.load("models", name)
    encoders = {modality: Vectors(modality, dim, dropout=0.5) for modality, dim in DIMS.items()}
    model = spec.build(encoders, 3, spec.config())  # in training mode

    model.fit([batch(vectors, labels)], seed=0)

    clean = fitted(name, batch(vectors, labels))
    assert all(torch.equal(value, clean.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", [*NAMES, "bag_of_words"])
def test_an_encoder_that_would_stay_untrained_is_refused(name: str) -> None:
    spec, logmel = lookup.load("models", name), lookup.load("encoders", "logmel")
    encoders = {"audio": logmel.build(logmel.config(), "audio", EncoderHome())}

    with pytest.raises(
        ConfigError, match=rf"encoders\.audio has weights to be trained, '{name}' is fitted in one pass"
    ):
        build_model(spec, spec.config(), encoders, 3)
