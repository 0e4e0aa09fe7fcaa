import json

import numpy as np
import pytest

from merkit.core.corpus import PublishedFeatures
from merkit.core.errors import ManifestError
from merkit.data.features.published import read_published, write_published

ARRAYS = {
    "b": np.array([[1.0, np.nan]], dtype=np.float32),
    "a": np.arange(6, dtype=np.float64).reshape(3, 2),
}
FEATURES = PublishedFeatures("praat", "audio", ARRAYS, ("pitch (Hz)", "duration (s)"))


def test_published_features_read_back_as_they_were_written(tmp_path):
    write_published(tmp_path / "praat", FEATURES)

    found = read_published(tmp_path / "praat")

    assert (found.name, found.modality, found.columns) == ("praat", "audio", ("pitch (Hz)", "duration (s)"))
    assert list(found.arrays) == ["b", "a"]
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(found.arrays[name], array)


def test_writing_them_again_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        write_published(tmp_path / name, FEATURES)

    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["columns.json", "features.safetensors", "index.parquet"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("shape", [(2,), (0, 2), (1, 3), (1, 1, 2)])
def test_arrays_of_another_shape_are_an_error(tmp_path, shape):
    wrong = PublishedFeatures("praat", "audio", ARRAYS | {"c": np.zeros(shape)})

    with pytest.raises(ManifestError, match=r"'praat' of 'c': shape .*, expected \[1 or more, 2\]"):
        write_published(tmp_path / "praat", wrong)


def test_as_many_column_names_as_columns_are_needed(tmp_path):
    wrong = PublishedFeatures("praat", "audio", ARRAYS, ("pitch (Hz)",))

    with pytest.raises(ManifestError, match=r"shape \[1, 2\], expected \[1 or more, 1\]"):
        write_published(tmp_path / "praat", wrong)


def test_no_features_at_all_are_an_error(tmp_path):
    with pytest.raises(ManifestError, match="'praat': no utterance has any"):
        write_published(tmp_path / "praat", PublishedFeatures("praat", "audio", {}))


def test_an_unknown_set_is_an_error_that_names_the_known_ones(tmp_path):
    write_published(tmp_path / "praat", FEATURES)

    with pytest.raises(ManifestError, match=r"No precomputed features 'prat'.*Known: praat"):
        read_published(tmp_path / "prat")


@pytest.mark.parametrize("name", ["features.safetensors", "index.parquet"])
@pytest.mark.parametrize("lost", [True, False])
def test_a_set_that_was_changed_or_lost_a_file_is_an_error(tmp_path, name, lost):
    write_published(tmp_path / "praat", FEATURES)
    if lost:
        (tmp_path / "praat" / name).unlink()
    else:
        content = bytearray((tmp_path / "praat" / name).read_bytes())
        content[-1] ^= 1
        (tmp_path / "praat" / name).write_bytes(bytes(content) + b" ")

    with pytest.raises(ManifestError, match=rf"{name}: missing, or not the file that columns\.json names"):
        read_published(tmp_path / "praat")


def test_a_page_with_unknown_keys_is_an_error(tmp_path):
    write_published(tmp_path / "praat", FEATURES)
    page = tmp_path / "praat" / "columns.json"
    page.write_text(json.dumps(json.loads(page.read_text()) | {"extra": 1}))

    with pytest.raises(ManifestError, match="not as written by merkit"):
        read_published(tmp_path / "praat")
