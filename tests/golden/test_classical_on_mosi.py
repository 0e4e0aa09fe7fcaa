"""`linear` on CMU-MOSI's features, through the store and a checkpoint, against scikit-learn by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.commandline import call

from merkit.core.lookup import load
from merkit.data.corpus.manifest import read_manifest

pytestmark = pytest.mark.data
MODALITIES = ("text", "audio", "video")


def test_scores_of_linear_are_those_of_scikit_learn_on_the_same_fold(real_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "mosi"
    assert call("prepare", "cmu_mosi", "--raw", str(real_data / "mosi"), "--out", str(data)).code == 0
    done = call("train", "linear/mosi2", "--data", str(data), "--out", str(tmp_path / "run"), "--seeds", "1", "--json")
    assert done.code == 0, done.error
    found = json.loads(done.out)["test"]["accuracy"]["mean"]

    raw = np.load(real_data / "mosi" / "mosi_3modal.npz")
    rows, labels = {}, {}
    for split in ("train", "test"):
        vectors = np.concatenate([raw[f"{split}_feat_{modality}"] for modality in MODALITIES], axis=1)
        rows |= dict(zip(raw[f"{split}_id"].tolist(), vectors, strict=True))
        labels |= dict(zip(raw[f"{split}_id"].tolist(), raw[f"{split}_label"].tolist(), strict=True))
    spec = load("protocols", "mosi2")
    (fold,) = spec.build(spec.options()).folds(read_manifest(data).utterances, 0)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    by_hand.fit(np.stack([rows[name] for name in fold.train]), [labels[name] for name in fold.train])
    predicted = by_hand.predict(np.stack([rows[name] for name in fold.test]))

    assert found == pytest.approx(accuracy_score([labels[name] for name in fold.test], predicted), abs=0.002)
