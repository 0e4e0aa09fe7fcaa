"""No byte of a feature store can change unnoticed: damage is named, and the same call makes the features again."""

import json
import logging
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from tests.unit.data.features.test_extraction import FINGERPRINT, FakeEncoder, array, reopened, turns

from merkit.core.encoder import Array
from merkit.core.errors import MerkitError
from merkit.data.features import extraction
from merkit.data.features.extraction import extract_features
from merkit.data.features.store import FeatureStore, fingerprint_hash

COUNT = 12


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SHARD_BYTES", 100)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore.open(tmp_path / "features", FINGERPRINT, "fake")
    extract_features(FakeEncoder(), turns(COUNT), store, batch_s=20)
    assert len(list(store.folder.glob("*.parquet"))) > 2
    return store


def arrays(store: FeatureStore) -> dict[str, Array]:
    return {each.utterance.id: store.get(each.utterance.id, each.utterance.text or "") for each in turns(COUNT)}


def filled(store: FeatureStore) -> dict[str, Array]:
    """Return all arrays, as the same command finds them when it is repeated."""
    again = reopened(store)
    extract_features(FakeEncoder(), turns(COUNT), again, batch_s=20)
    return arrays(again)


def flips(content: bytes, count: int) -> Iterator[bytes]:
    """Yield the content with one byte changed: some in the header, at both ends, and drawn elsewhere."""
    draw = random.Random(count)
    places = {0, 8, 9, 20, 40, len(content) - 1, *(draw.randrange(len(content)) for _ in range(count))}
    for place in sorted(place for place in places if place < len(content)):
        changed = bytearray(content)
        changed[place] ^= draw.randrange(1, 256)
        yield bytes(changed)


@pytest.mark.parametrize(("ending", "count"), [("safetensors", 12), ("parquet", 12), ("json", 12)])
def test_any_changed_byte_is_named_and_its_features_are_made_again(
    store: FeatureStore, ending: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = arrays(store)
    path = sorted(store.folder.glob(f"*.{ending}"))[0]

    for changed in flips(path.read_bytes(), count):
        path.write_bytes(changed)
        caplog.clear()
        found = filled(store)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
        assert f"{path.name}' is damaged" in caplog.text.replace(".parquet'", f".{ending}'")
        assert sum(record.levelno == logging.WARNING for record in caplog.records) == 1
        path = sorted(store.folder.glob(f"*.{ending}"))[0]
    caplog.clear()
    filled(store)
    assert not caplog.records


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 2}', "[" * 10**5])
def test_a_damaged_encoder_json_is_written_anew(
    store: FeatureStore, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    about = store.folder / "encoder.json"
    before = about.read_text()
    about.write_text(content)

    assert filled(store)

    assert about.read_text() == before
    assert "encoder.json' is damaged" in caplog.text


def test_an_array_that_is_damaged_while_it_is_in_use_is_an_error_and_not_other_numbers(store: FeatureStore) -> None:
    name, text = "u0", turns(1)[0].utterance.text or ""
    for path in store.folder.glob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(MerkitError, match="was damaged while it was in use"):
        store.get(name, text)


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "folder", "pipe", "another shard"])
@pytest.mark.parametrize("ending", ["safetensors", "parquet"])
def test_a_file_of_any_other_kind_in_place_of_a_shard_s_is_noticed(
    store: FeatureStore, damage: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = arrays(store)
    path, other = sorted(store.folder.glob(f"*.{ending}"))[:2]
    content = path.read_bytes()
    path.unlink()
    match damage:
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "longer":
            path.write_bytes(content + b" ")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            shutil.copy(other, path)

    found = filled(store)

    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert path.stem in caplog.text


def test_a_shard_of_another_encoder_is_named_and_left_out(
    store: FeatureStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = arrays(store)
    other = FeatureStore.open(tmp_path / "features", {**FINGERPRINT, "code": 2}, "fake")
    other.add([(each.utterance.id, each.utterance.text or "", array(1, 2)) for each in turns(COUNT)])
    for path in other.folder.glob("shard-*"):
        shutil.copy(path, store.folder / path.name.replace("00000001", "00000099"))

    found = filled(store)

    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert "was made by another encoder and is left out" in caplog.text


@pytest.mark.parametrize("name", ["shard-x.parquet", "shard-00000001-abcdabcd.parquet", "shard-../../x.parquet"])
def test_a_file_that_is_no_shard_of_the_store_is_named_and_left_alone(
    store: FeatureStore, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.folder / Path(name).name
    path.write_bytes(b"mine")

    assert filled(store)

    assert path.read_bytes() == b"mine"
    assert path.suffix != ".parquet" or not path.name.startswith("shard-") or f"{path.name}' is no shard" in caplog.text


def made_old(store: FeatureStore) -> None:
    """Rewrite a store as versions before checksums wrote it."""
    for number, index in enumerate(sorted(store.folder.glob("*.parquet"))):
        old = store.folder / f"shard-{number + 1:08d}-abcdabcd.parquet"
        columns = pq.read_table(index, columns=["id", "content", "offset", "length"]).to_pydict()
        pq.write_table(pa.table(columns), old)
        save_file({"data": load_file(index.with_suffix(".safetensors"))["data"]}, old.with_suffix(".safetensors"))
        index.unlink()
        index.with_suffix(".safetensors").unlink()
    about = {"format": 1, "name": "fake", "fingerprint": FINGERPRINT}
    (store.folder / "encoder.json").write_text(json.dumps(about))


def test_a_store_of_an_earlier_version_is_kept_and_protected_from_then_on(
    store: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    expected = arrays(store)
    made_old(store)

    with caplog.at_level(logging.INFO):
        again = reopened(store)

    assert extract_features(FakeEncoder(), turns(COUNT), again, batch_s=20) == 0
    assert all(np.array_equal(found, expected[name]) for name, found in arrays(again).items())
    assert "shards of an earlier version now have checksums" in caplog.text
    path = sorted(store.folder.glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    caplog.clear()
    assert all(np.array_equal(found, expected[name]) for name, found in filled(store).items())
    assert f"{path.name}' is damaged" in caplog.text


def test_a_store_of_an_earlier_version_is_kept_where_there_are_no_hard_links(
    store: FeatureStore, no_hard_links: None
) -> None:
    expected = arrays(store)
    made_old(store)

    again = reopened(store)

    assert extract_features(FakeEncoder(), turns(COUNT), again, batch_s=20) == 0
    assert all(np.array_equal(found, expected[name]) for name, found in arrays(again).items())
    assert not list(store.folder.glob(".tmp-*"))


@pytest.mark.parametrize("ending", ["safetensors", "parquet"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_shard_of_an_earlier_version_is_extracted_again(
    store: FeatureStore, ending: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = arrays(store)
    made_old(store)
    path = sorted(store.folder.glob(f"*.{ending}"))[0]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()

    assert all(np.array_equal(found, expected[name]) for name, found in filled(store).items())

    assert "is damaged" in caplog.text or (damage, ending) == ("missing", "parquet")
    assert fingerprint_hash(json.loads((store.folder / "encoder.json").read_text())["fingerprint"])
