"""The real corpora, read in place, hold what their papers say; cells are compared with the files as shipped."""

import csv
from collections import Counter

import numpy as np
import pytest

from merkit.core import lookup
from merkit.core.errors import CountError
from merkit.data.corpus.doctor import examine
from merkit.data.corpus.manifest import read_manifest
from merkit.data.corpus.prepare import prepare
from merkit.data.features.published import read_published

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")

    def make(name, raw, **options):
        if not (folder / name).is_dir():
            prepare(lookup.load("corpora", name), real_data / raw, folder / name, **options)
        return read_manifest(folder / name)

    return make


def labels(manifest, split, attribute):
    return Counter(u.attributes[attribute] for u in manifest.utterances if u.attributes.get("split") == split)


MELD = {  # Poria et al. 2019, table of emotions per split
    "train": {
        "neutral": 4710,
        "surprise": 1205,
        "fear": 268,
        "sadness": 683,
        "joy": 1743,
        "disgust": 271,
        "anger": 1109,
    },
    "dev": {"neutral": 470, "surprise": 150, "fear": 40, "sadness": 111, "joy": 163, "disgust": 22, "anger": 153},
    "test": {"neutral": 1256, "surprise": 281, "fear": 50, "sadness": 208, "joy": 402, "disgust": 68, "anger": 345},
}


def test_meld_holds_the_published_labels_in_every_split(prepared):
    manifest = prepared("meld", "meld")

    assert not manifest.info.partial
    assert {split: labels(manifest, split, "emotion") for split in MELD} == MELD
    assert len(manifest.conversations()) == 1038 + 114 + 280


def test_meld_texts_carry_no_damage(prepared):
    codes = {finding.code: finding.ids for finding in examine(prepared("meld", "meld"))}

    assert not [code for code in codes if code.startswith("text-") and code != "text-mended"]
    assert codes["features-praat-missing"] == ("train_dia125_utt3", "dev_dia110_utt7")
    assert len(codes["over-long"]) == 3


def test_meld_measures_belong_to_their_utterances(prepared, real_data):
    praat = read_published(prepared("meld", "meld").root / "precomputed" / "praat")

    assert len(praat.arrays) == 13_708 - 2
    for split in MELD:
        with (real_data / "meld" / f"praat_{split}.csv").open(encoding="utf-8", newline="") as stream:
            shipped = {f"{split}_{row[0][:-4]}": row[1:] for row in csv.reader(stream)}
        ids = [name for name in praat.arrays if name.startswith(split)]
        expected = np.array([[float(cell or "nan") for cell in shipped[name]] for name in ids], dtype=np.float32)
        np.testing.assert_array_equal(np.concatenate([praat.arrays[name] for name in ids]), expected)


def test_mosi_holds_the_published_split(prepared):
    manifest = prepared("cmu_mosi", "mosi")

    assert manifest.info.counts == {
        "utterances": 2199,
        "conversations": 93,
        "train": 1447,
        "train.conversations": 62,
        "test": 752,
        "test.conversations": 31,
    }
    for name, dim in (("text", 100), ("audio", 73), ("video", 100)):
        arrays = read_published(manifest.root / "precomputed" / name).arrays
        assert len(arrays) == 2199
        assert {array.shape for array in arrays.values()} == {(1, dim)}


def test_the_part_of_nemo_is_refused_as_the_whole_and_accepted_as_a_part(prepared, real_data, tmp_path):
    with pytest.raises(CountError, match="utterances 1,099 found, 4,481 expected"):
        prepare(lookup.load("corpora", "nemo"), real_data / "nemo", tmp_path / "nemo")

    manifest = prepared("nemo", "nemo", allow_partial=True)

    assert manifest.info.partial
    assert len({u.speaker for u in manifest.utterances}) == 9
    assert len({u.attributes["emotion"] for u in manifest.utterances}) == 6
    assert len({u.attributes["sentence"] for u in manifest.utterances}) == 22
    assert all(manifest.media_path(u.audio).is_file() for u in manifest.utterances)
