import numpy as np
import pytest

from merkit.core.corpus import CorpusOptions
from merkit.core.errors import ManifestError, UnsafeFileError
from merkit.corpora.cmu_mosi import SPEC


def arrays():
    """Two videos in training, the first with its segments out of order, and one in test."""
    made = {}
    for split, ids in (("train", ["v_2", "w_1", "v_1"]), ("test", ["z_1"])):
        made[f"{split}_id"] = np.array(ids)
        made[f"{split}_video"] = np.array([name[0] for name in ids])
        made[f"{split}_seg"] = np.array([int(name[2]) for name in ids])
        made[f"{split}_transcript"] = np.array([f"I LIKED {name}" for name in ids])
        made[f"{split}_label"] = np.array([1, 0, 1][: len(ids)])
        for dim, modality in enumerate(("text", "audio", "video"), start=2):
            values = np.arange(len(ids) * dim, dtype=np.float32).reshape(len(ids), dim)
            made[f"{split}_feat_{modality}"] = values
    return made


def read(folder, content):
    np.savez(folder / "mosi_3modal.npz", **content)
    return SPEC.read(folder, CorpusOptions())


def test_a_video_is_a_conversation_of_its_segments_in_order(tmp_path):
    corpus = read(tmp_path, arrays())

    assert [(u.id, u.conversation, u.turn, u.attributes["split"]) for u in corpus.utterances] == [
        ("v_1", "v", 0, "train"),
        ("v_2", "v", 1, "train"),
        ("w_1", "w", 0, "train"),
        ("z_1", "z", 0, "test"),
    ]
    first = corpus.utterances[0]
    assert (first.text, first.speaker, first.audio) == ("I LIKED v_1", "", None)
    assert first.attributes == {"sentiment": "positive", "split": "train", "segment": 1}


def test_each_modality_is_published_with_the_rows_of_its_utterances(tmp_path):
    corpus = read(tmp_path, arrays())

    assert [(f.name, f.modality) for f in corpus.features] == [(m, m) for m in ("text", "audio", "video")]
    assert corpus.features[0].arrays["v_1"].tolist() == [[4, 5]]
    assert corpus.features[1].arrays["v_2"].tolist() == [[0, 1, 2]]
    assert corpus.features[2].arrays["z_1"].tolist() == [[0, 1, 2, 3]]


def test_how_the_features_were_made_is_told(tmp_path):
    (finding,) = read(tmp_path, arrays()).findings

    assert finding.code == "task-trained-features"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_seg": None}, "no array test_seg, found test_feat_audio"),
        ({"train_feat_audio": np.zeros((2, 3))}, "different lengths: train_id 3, .*train_feat_audio 2"),
        ({"test_label": np.array([2])}, r"test_label holds \[2\], expected 0 and 1"),
    ],
)
def test_a_malformed_file_is_an_error(tmp_path, change, message):
    content = {name: array for name, array in (arrays() | change).items() if array is not None}

    with pytest.raises(ManifestError, match=message):
        read(tmp_path, content)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"no mosi_3modal\.npz in"):
        SPEC.read(tmp_path, CorpusOptions())


def test_pickled_objects_in_the_file_are_refused(tmp_path):
    with pytest.raises(UnsafeFileError, match="pickled objects"):
        read(tmp_path, arrays() | {"test_id": np.array([{}], dtype=object)})
