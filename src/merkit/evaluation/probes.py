"""Linear probes: what the representation of each modality in a trained network still knows of the classes.

A model names its representations in ``SPEC.representations``. For each representation and modality a linear classifier
is fitted to the stored checkpoint's vectors of the training split, and predicts the test split. The network is not
changed. Predictions are stored beside those of training, without labels.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from merkit.core.arrays import Array
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.model import ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.protocol import Fold, Target
from merkit.core.types import MODALITIES, Prediction
from merkit.evaluation.conditions import LoadedCell, predict_once, stored_counts
from merkit.evaluation.scores import Counts, Difference, Scores, difference, scores_of
from merkit.evaluation.stored import Run
from merkit.io.predictions import predictions_table
from merkit.metrics.classification import METRICS

FILE = "predictions-probes"
"""In a cell's folder; its column ``probe`` holds what was probed, such as ``encoded.text``."""
STRENGTH, STEPS = 1.0, 1000
"""Of the logistic regression: the inverse of its L2 penalty (scikit-learn's C), and the most iterations of L-BFGS."""
SETTINGS = f"standardised, logistic regression, C = {STRENGTH:g}"
"""Description of the probe; part of the key of stored predictions."""


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """Test scores of the probe of one modality."""

    name: str
    """What was probed: a key of the model's ``SPEC.representations`` and a modality, such as ``encoded.text``."""
    scores: Scores
    above: Difference
    """Its mean recall less that of a prediction without knowledge of the class, 1 / classes."""

    @property
    def above_chance(self) -> bool:
        """Return whether the whole interval is above chance."""
        return self.above.interval[0] > 0


def representations_of(run: Run) -> Mapping[str, str]:
    """Return the representations of a run's model that can be probed, each with its description."""
    spec: ModelSpec = load("models", run.model)
    return spec.representations


def probe_scores(run: Run, features: Path | None = None, progress: ProgressCallback | None = None) -> list[ProbeScores]:
    """Fit the probes of every cell and predict its test split, unless that is stored, and score them.

    Arguments are those of `predict_once`.

    Returns:
        One row for each representation and modality; nothing for a model that names no representation.

    Raises:
        MerkitError: A checkpoint or an input cannot be read, or the training utterances with a modality are all of one
            class.
    """
    kinds = representations_of(run)
    if not kinds:
        return []
    if run.protocol.multi_label:
        raise MerkitError(
            f"{run.path}: a probe is for one label per utterance, '{run.protocol_name}' has several; leave the run out "
            "of the report with --probes"
        )

    def predict(loaded: LoadedCell) -> pa.Table:
        folds = run.protocol.folds(run.manifest.utterances, loaded.cell.seed)
        fold: Fold = next(fold for fold in folds if fold.name == loaded.cell.fold)
        vectors = _vectors(loaded, kinds, {*fold.train, *fold.test})
        labels = loaded.recognizer.labels
        return pa.concat_tables(
            predictions_table(_predict(run.path, name, of_probe, fold.train, fold.test, labels), labels, probe=name)
            for name, of_probe in vectors.items()
        )

    settings = f"{SETTINGS}: {' '.join(kinds)}"
    predict_once(
        run, FILE, predict, description="linear probes", settings=settings, features=features, progress=progress
    )
    return [
        ProbeScores(name, scores_of(run, counts), _above_chance(run, counts))
        for name, counts in stored_counts(run, FILE, "probe").items()
    ]


def _above_chance(run: Run, counts: Counts) -> Difference:
    """Return the mean recall less that of predictions spread evenly over the classes, whatever the true ones."""
    even: Counts = np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape)
    return difference(METRICS["mean_recall"], counts, even, run.protocol.pooled)


def _vectors(loaded: LoadedCell, kinds: Collection[str], wanted: Collection[str]) -> dict[str, dict[str, Array]]:
    """Return the vectors ``[dim]`` of those wanted utterances that have the modality: by probe, then by id."""
    vectors: dict[str, dict[str, Array]] = {}
    names = [f"{kind}.{modality}" for kind in kinds for modality in MODALITIES]
    for batch, output in loaded.recognizer.outputs(loaded.dataset(wanted)):
        for name in names:
            if name in output.auxiliary:
                rows = output.auxiliary[name].float().cpu()[batch.mask].numpy()
                present = batch.present[name.partition(".")[2]][batch.mask].tolist()
                of_batch = zip(batch.ids, rows, present, strict=True)
                vectors.setdefault(name, {}).update({id_: vector for id_, vector, real in of_batch if real})
    return vectors


def _predict(
    run: Path,
    name: str,
    vectors: Mapping[str, Array],
    train: Mapping[str, Target],
    test: Sequence[str],
    labels: Sequence[str],
) -> list[Prediction]:
    """Fit one probe to the vectors of those utterances that have the modality, and predict the test split.

    ``train`` has class numbers by id. An utterance without the modality gets the class shares of the training split.
    """
    # not at the top: scikit-learn takes a second to import, and most reports have no probes
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = [id_ for id_ in train if id_ in vectors]
    classes = np.array([train[id_] for id_ in known], dtype=np.int64)
    counts = np.bincount(classes, minlength=len(labels))
    if (counts > 0).sum() < 2:
        raise MerkitError(
            f"{run}: {name} cannot be probed: {len(known)} training utterances have it, classes among them:"
            f" {(counts > 0).sum()}, at least 2 expected; leave the run out of the report with --probes"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=STEPS))
    probe.fit(np.stack([vectors[id_] for id_ in known]), classes)
    probabilities = np.tile(counts / counts.sum(), (len(test), 1))
    present = [row for row, id_ in enumerate(test) if id_ in vectors]
    if present:
        probabilities[present] = 0.0
        predicted = probe.predict_proba(np.stack([vectors[test[row]] for row in present]))
        probabilities[np.ix_(present, probe.classes_)] = predicted
    modality = name.partition(".")[2]
    return [
        Prediction(
            id=id_,
            label=labels[int(row.argmax())],
            probabilities=dict(zip(labels, row.tolist(), strict=True)),
            confidence=float(row.max()),
            modalities=(modality,) if id_ in vectors else (),
        )
        for id_, row in zip(test, probabilities, strict=True)
    ]
