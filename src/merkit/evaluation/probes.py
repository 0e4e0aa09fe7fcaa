"""What a trained network still knows of each modality: linear probes on its representations.

A model names its representations in ``SPEC.representations``. For each one and each modality a linear classifier is
fitted to what the stored checkpoint makes of the training part, and asked about the test part. The network itself is
left as it is. Predictions lie beside those of training, unlabelled; they are made once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from merkit.core.encoder import Array
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.model import ModelSpec
from merkit.core.progress import ProgressCallback
from merkit.core.protocol import Fold
from merkit.core.types import MODALITIES, Prediction
from merkit.data.corpus.manifest import Manifest
from merkit.evaluation.replay import Difference, Figures, Replay, draw, figures_of, join_replayed, replay, replayed
from merkit.evaluation.scores import Counts, mean_over_seeds, resampled
from merkit.evaluation.stored import Run
from merkit.io.predictions import predictions_table
from merkit.metrics.classification import FROM_CONFUSION
from merkit.metrics.intervals import percentile_interval

FILE = "predictions-probes.parquet"
"""In a cell's folder: column ``probe`` holds what was probed, such as ``encoded.text``."""
STRENGTH, STEPS = 1.0, 1000
"""Of the logistic regression: the inverse of its L2 penalty (scikit-learn's C), and most steps of L-BFGS."""
SETTINGS = f"standardised, logistic regression, C = {STRENGTH:g}"
"""The probe in words; a part of the key that stored predictions are found by."""


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The test figures of one modality's probe."""

    representation: str
    """A key of the model's ``SPEC.representations``."""
    modality: str
    figures: Figures
    above: Difference
    """Its mean recall above that of answers that know nothing of the class, which is 1 / classes."""

    @property
    def name(self) -> str:
        """Return what was probed, such as ``encoded.text``."""
        return f"{self.representation}.{self.modality}"

    @property
    def knows(self) -> bool:
        """Return whether it is above chance with its whole interval."""
        return self.above.interval[0] > 0


def representations_of(run: Run) -> Mapping[str, str]:
    """Return what of a run's model can be probed, each with what it is in words."""
    spec: ModelSpec = load("models", run.model)
    return spec.representations


def predict_probes(
    run: Run, manifest: Manifest, features: Path | None = None, progress: ProgressCallback | None = None
) -> None:
    """Fit the probes of every cell and predict its test part, unless that is there already.

    Nothing is done for a model that names no representation.

    Args:
        run: A finished run of the manifest.
        manifest: Where its inputs are.
        features: Folder of the feature stores; ``None``: ``features`` in the manifest's folder.
        progress: Told how many cells are done.

    Raises:
        MerkitError: A checkpoint or an input cannot be read, or a modality has no two classes to learn from.
    """
    kinds = representations_of(run)
    if not kinds:
        return

    def answer(asked: Replay) -> pa.Table:
        folds = run.protocol.folds(manifest.utterances, asked.cell.seed)
        fold: Fold = next(fold for fold in folds if fold.name == asked.cell.fold)
        vectors = _vectors(asked, kinds, {*fold.train, *fold.test})
        labels = asked.recognizer.labels
        return pa.concat_tables(
            predictions_table(_answers(run.path, name, found, fold.train, fold.test, labels), labels, probe=name)
            for name, found in vectors.items()
        )

    settings = f"{SETTINGS}: {' '.join(kinds)}"
    replay(run, manifest, FILE, answer, told="linear probes", settings=settings, features=features, progress=progress)


def probe_rows(run: Run) -> list[ProbeRow]:
    """Score every probe of a run; nothing for a model that names no representation.

    Raises:
        MerkitError: Predictions do not cover exactly the test part.
    """
    if not representations_of(run):
        return []
    tables = replayed(run, FILE)
    rows = []
    for name in dict.fromkeys(tables[0].column("probe").to_pylist()):
        counts = run.count(join_replayed(run, tables, FILE, "probe", name))
        representation, _, modality = name.partition(".")
        figures = figures_of(run, counts, draw(run, counts))
        rows.append(ProbeRow(representation, modality, figures, _above_chance(run, counts)))
    return rows


def _above_chance(run: Run, counts: Counts) -> Difference:
    """Return the mean recall above that of answers spread evenly over the classes, whatever the true ones."""
    metric, pooled = FROM_CONFUSION["mean_recall"], run.protocol.pooled
    even: Counts = np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape)
    mean = mean_over_seeds(metric, pooled)
    draws = resampled(metric, counts, pooled) - resampled(metric, even, pooled)
    return Difference(float(mean(counts.sum(axis=0)) - mean(even.sum(axis=0))), percentile_interval(draws))


def _vectors(asked: Replay, kinds: Collection[str], wanted: Collection[str]) -> dict[str, dict[str, Array]]:
    """Return by what is probed the vectors ``[dim]`` of those wanted utterances that have the modality, by id."""
    found: dict[str, dict[str, Array]] = {}
    names = [f"{kind}.{modality}" for kind in kinds for modality in MODALITIES]
    for batch, output in asked.recognizer.outputs(asked.dataset(wanted)):
        for name in names:
            if name in output.auxiliary:
                vectors = output.auxiliary[name].float().cpu()[batch.mask].numpy()
                there = batch.present[name.partition(".")[2]][batch.mask].tolist()
                rows = zip(batch.ids, vectors, there, strict=True)
                found.setdefault(name, {}).update({id_: vector for id_, vector, real in rows if real})
    return found


def _answers(
    run: Path,
    name: str,
    vectors: Mapping[str, Array],
    train: Mapping[str, int],
    test: Sequence[str],
    labels: Sequence[str],
) -> list[Prediction]:
    """Fit one probe and return its predictions of the test part.

    An utterance without the modality gets the class shares of what the probe was fitted to.

    Args:
        run: The run's folder, for errors.
        name: What is probed, such as ``encoded.text``.
        vectors: By id ``[dim]``, of those utterances that have the modality.
        train: Class numbers of the training part by id.
        test: Ids of the test part.
        labels: Class names in the order of class numbers.

    Raises:
        MerkitError: The training part has no two classes.
    """
    # not on top: scikit-learn takes a second to import, and most reports ask for no probe
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = [id_ for id_ in train if id_ in vectors]
    classes = np.array([train[id_] for id_ in known], dtype=np.int64)
    counts = np.bincount(classes, minlength=len(labels))
    if (counts > 0).sum() < 2:
        raise MerkitError(
            f"{run}: no probe of {name}: {len(known)} training utterances have it, classes among them:"
            f" {(counts > 0).sum()}, at least 2 expected; leave the run out of the report with --probes"
        )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=STEPS))
    probe.fit(np.stack([vectors[id_] for id_ in known]), classes)
    probabilities = np.tile(counts / counts.sum(), (len(test), 1))
    there = [row for row, id_ in enumerate(test) if id_ in vectors]
    if there:
        probabilities[there] = 0.0
        answers = probe.predict_proba(np.stack([vectors[test[row]] for row in there]))
        probabilities[np.ix_(there, probe.classes_)] = answers
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
