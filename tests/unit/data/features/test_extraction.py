"""The feature store and the extraction that fills it."""

import fcntl
import json
import logging
import pickle
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder
from merkit.core.errors import MerkitError
from merkit.core.types import Turn, Utterance
from merkit.data.features import extraction as features_module
from merkit.data.features import store as feature_store
from merkit.data.features.extraction import extract_features
from merkit.data.features.index import FeatureIndex, index_rows
from merkit.data.features.shards import Rows
from merkit.data.features.store import FeatureStore, fingerprint_hash
from merkit.data.files import atomic_path

FINGERPRINT = {"encoder": "fake", "code": 1}


class FakeEncoder(Encoder):
    """Spells a text as numbers; the first value of each array is the size of the batch it was extracted in."""

    modality = "text"
    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.poison: dict[str, float] = {}

    def fingerprint(self) -> Mapping[str, Any]:
        return FINGERPRINT

    def content(self, turn: Turn) -> str | None:
        return turn.utterance.text

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        self.batches.append([turn.utterance.id for turn in turns])
        return [self._spell(turn.utterance, len(turns)) for turn in turns]

    def blank(self) -> Array:
        return np.zeros((1, 2), np.float32)

    def duration_s(self, turn: Turn) -> float:
        return float(len(turn.utterance.text or ""))

    def forward(self, padded: Padded) -> Padded:
        return padded

    def describe(self) -> Mapping[str, Any]:
        return {}

    def _spell(self, utterance: Utterance, mates: int) -> Array:
        letters = np.array([ord(letter) for letter in utterance.text or ""], np.float32)
        array = np.stack([letters, np.full_like(letters, mates)], axis=1)
        array[0, 0] = self.poison.get(utterance.id, array[0, 0])
        return array


class UndefinedEncoder(FakeEncoder):
    may_be_undefined = True


def turn(number: int, text: str | None = None) -> Turn:
    text = "abcdefghij"[: 1 + number * 7 % 10] + str(number) if text is None else text
    return Turn(Utterance(f"u{number}", "c", number, "s", text=text), (), Path())


def turns(count: int) -> list[Turn]:
    return [turn(number) for number in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path, FINGERPRINT, "fake")


def array(*values: float) -> Array:
    return np.array([[value] for value in values], np.float32)


def reopened(store: FeatureStore) -> FeatureStore:
    return FeatureStore.open(store.folder.parent, FINGERPRINT, "fake")


def test_stored_arrays_come_back_as_they_went_in_from_an_opened_store(store: FeatureStore) -> None:
    store.add([("a", "x", array(1, 2)), ("b", "y", array(3))])
    store.add([("c", "z", array(4, 5, 6))])

    for reader in (store, reopened(store), pickle.loads(pickle.dumps(store))):
        assert np.array_equal(reader.get("a", "x"), array(1, 2))
        assert np.array_equal(reader.get("b", "y"), array(3))
        assert np.array_equal(reader.get("c", "z"), array(4, 5, 6))
        assert (reader.length("a"), reader.length("b"), reader.length("c")) == (2, 1, 3)
        assert len(reader) == 3


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int64", "uint8", "bool"])
def test_every_type_of_number_is_kept(store: FeatureStore, kind: str) -> None:
    pictures = np.ones((2, 3, 4), kind)

    store.add([("a", "x", pictures)])

    found = reopened(store).get("a", "x")
    assert found.dtype == pictures.dtype
    assert found.shape == (2, 3, 4)


def test_what_is_not_stored_or_was_made_of_another_content_is_missing(store: FeatureStore) -> None:
    store.add([("a", "x", array(1)), ("b", "y", array(2))])

    assert store.missing({"c": "z", "b": "y", "a": "changed"}) == ["c", "a"]
    with pytest.raises(KeyError, match="c"):
        store.get("c", "z")
    with pytest.raises(KeyError, match="a"):
        store.get("a", "changed")
    with pytest.raises(KeyError, match="c"):
        store.length("c")


def test_a_later_row_replaces_an_earlier_one(store: FeatureStore) -> None:
    store.add([("a", "old", array(1)), ("b", "y", array(2))])
    store.add([("a", "new", array(3, 4))])

    for reader in (store, reopened(store)):
        assert np.array_equal(reader.get("a", "new"), array(3, 4))
        assert reader.length("a") == 2
        assert reader.missing({"a": "old", "b": "y"}) == ["a"]


def test_an_encoder_s_folder_is_found_by_its_whole_fingerprint(tmp_path: Path) -> None:
    first = FeatureStore.open(tmp_path, {"encoder": "fake", "layers": [1, 2]}, "fake")
    same = FeatureStore.open(tmp_path, {"layers": [1, 2], "encoder": "fake"}, "fake")
    other = FeatureStore.open(tmp_path, {"encoder": "fake", "layers": [2, 1]}, "fake")

    assert first.folder == same.folder != other.folder
    assert first.folder.name == f"fake-{fingerprint_hash({'encoder': 'fake', 'layers': [1, 2]})[:12]}"
    about = json.loads((first.folder / "encoder.json").read_text())
    fingerprint = {"encoder": "fake", "layers": [1, 2]}
    assert about.items() >= {"format": 2, "name": "fake", "fingerprint": fingerprint}.items()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"format": 1, "name": "fake", "fingerprint": {"encoder": "forged"}}', "is not the encoder"),
        ('{"format": 3, "name": "fake", "fingerprint": {"encoder": "fake", "code": 1}}', "has format 3"),
    ],
)
def test_a_folder_that_is_not_this_encoder_s_is_refused(store: FeatureStore, content: str, told: str) -> None:
    (store.folder / "encoder.json").write_text(content)

    with pytest.raises(MerkitError, match=told):
        reopened(store)


def test_an_empty_array_and_one_of_another_kind_are_refused_by_name(store: FeatureStore) -> None:
    store.add([("a", "x", array(1))])

    with pytest.raises(MerkitError, match="Features of 'b' are empty"):
        store.add([("b", "y", array().reshape(0, 1))])
    with pytest.raises(
        MerkitError, match=r"Features of 'b' are float32 \[time, 3\], those of the others .* \[time, 1\]"
    ):
        store.add([("b", "y", np.zeros((1, 3), np.float32))])
    with pytest.raises(MerkitError, match="Features of 'b' are float64"):
        reopened(store).add([("b", "y", np.zeros((1, 1)))])
    assert len(store) == 1


def test_a_shard_is_one_tensor_with_an_index_that_anybody_can_read(store: FeatureStore) -> None:
    store.add([("a", "x", array(1, 2)), ("b", "y", array(3))])

    (index,) = store.folder.glob("*.parquet")
    assert pyarrow.parquet.read_table(index).to_pydict() == {
        "id": ["a", "b"],
        "content": ["x", "y"],
        "offset": [0, 2],
        "length": [2, 1],
        "crc32": [zlib.crc32(array(1, 2).tobytes()), zlib.crc32(array(3).tobytes())],
    }
    assert np.array_equal(load_file(index.with_suffix(".safetensors"))["data"], array(1, 2, 3))


def test_leftovers_of_a_killed_writer_are_ignored_and_removed(store: FeatureStore) -> None:
    store.add([("a", "x", array(1))])
    before = {path.name for path in store.folder.iterdir()}
    (store.folder / "shard-00000002-abcdabcd.safetensors").write_bytes(b"\x00" * 5)
    (store.folder / ".tmp-1-abcd-shard-00000003-abcdabcd.parquet").write_bytes(b"half")

    again = reopened(store)

    assert {path.name for path in store.folder.iterdir()} == before
    assert np.array_equal(again.get("a", "x"), array(1))


def test_leftovers_stay_while_another_process_writes_for_they_may_be_its_own(store: FeatureStore) -> None:
    unfinished = store.folder / "shard-00000002-abcdabcd.safetensors"
    unfinished.write_bytes(b"\x00" * 5)

    with store._lock(fcntl.LOCK_SH):
        reopened(store)

    assert unfinished.exists()
    reopened(store)
    assert not unfinished.exists()


def test_two_may_begin_one_store_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def overtaken(path: Path) -> Iterator[Path]:
        with atomic_path(path) as temporary:
            yield temporary
            monkeypatch.undo()
            FeatureStore.open(tmp_path, FINGERPRINT, "fake")

    monkeypatch.setattr(feature_store, "atomic_path", overtaken)

    store = FeatureStore.open(tmp_path, FINGERPRINT, "fake")

    assert {path.name for path in store.folder.iterdir()} == {"encoder.json"}


def test_a_shard_that_is_added_while_the_folder_is_read_is_not_told_as_lost(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.add([("a", "x", array(1))])
    (data,) = store.folder.glob("*.safetensors")
    listed = [path for path in store.folder.iterdir() if path != data]  # the data came in behind the reader's back
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(listed))

    again = reopened(store)

    assert not caplog.records
    assert again.missing({"a": "x"}) == []


def test_two_writers_at_once_add_to_one_store(store: FeatureStore) -> None:
    other = reopened(store)

    store.add([("a", "x", array(1)), ("both", "w", array(7))])
    other.add([("b", "y", array(2)), ("both", "w", array(7))])

    merged = reopened(store)
    assert [merged.get(*row)[0, 0] for row in (("a", "x"), ("b", "y"), ("both", "w"))] == [1, 2, 7]
    assert len(merged) == 3


def test_lost_data_is_told_and_extracted_again(store: FeatureStore, caplog: pytest.LogCaptureFixture) -> None:
    store.add([("a", "x", array(1))])
    for path in store.folder.glob("*.safetensors"):
        path.unlink()

    with caplog.at_level(logging.WARNING):
        again = reopened(store)

    assert "(it is missing): its features are extracted again" in caplog.text
    assert again.missing({"a": "x"}) == ["a"]
    assert {path.name for path in store.folder.iterdir()} == {"encoder.json"}
    with pytest.raises(MerkitError, match="cannot be read"):
        store.get("a", "x")


def test_adding_nothing_writes_nothing(store: FeatureStore) -> None:
    store.add([])

    assert [path.name for path in store.folder.iterdir()] == ["encoder.json"]


def test_an_index_of_many_ids_finds_each_of_them_and_the_newest() -> None:
    ids = [f"utterance {number}" for number in range(5000)]
    index = FeatureIndex()

    index.add([index_rows(0, Rows(ids, ids, list(range(5000)), [1] * 5000, [7] * 5000))])
    index.add([index_rows(1, Rows(ids[::2], ids[::2], [0] * 2500, [2] * 2500, [8] * 2500))])

    assert len(index) == 5000
    for number, utterance_id in enumerate(ids):
        place = index.find(utterance_id, utterance_id)
        assert place is not None
        assert place == ((0, number, number + 1, 7) if number % 2 else (1, 0, 2, 8))
    assert index.find("unknown") is None


def test_extraction_stores_each_turn_once_and_a_second_one_does_nothing(store: FeatureStore) -> None:
    encoder = FakeEncoder()

    assert extract_features(encoder, turns(50), store, batch_s=30) == 50
    assert extract_features(encoder, turns(50), store, batch_s=30) == 0
    assert extract_features(FakeEncoder(), turns(53), reopened(store), batch_s=30) == 3

    extracted = [utterance_id for batch in encoder.batches for utterance_id in batch]
    assert sorted(extracted) == sorted(f"u{number}" for number in range(50))
    for each in turns(50):
        found = store.get(each.utterance.id, each.utterance.text or "")
        assert "".join(chr(int(value)) for value in found[:, 0]) == each.utterance.text


def test_batches_are_bounded_by_padded_duration_and_a_longer_turn_goes_alone(store: FeatureStore) -> None:
    encoder = FakeEncoder()
    long = turn(99, "x" * 31)

    extract_features(encoder, [*turns(50), long], store, batch_s=30)

    texts = {each.utterance.id: each.utterance.text or "" for each in [*turns(50), long]}
    assert encoder.batches[0] == ["u99"]
    for batch in encoder.batches[1:]:
        assert len(batch) * max(len(texts[utterance_id]) for utterance_id in batch) <= 30


def test_only_a_window_of_turns_is_looked_ahead(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "WINDOW", 8)
    monkeypatch.setattr(features_module, "SHARD_ROWS", 8)
    taken: list[int] = []

    def endless() -> Iterator[Turn]:
        for each in turns(64):
            taken.append(len(taken) - len(store))
            yield each

    extract_features(FakeEncoder(), endless(), store, batch_s=30)

    assert max(taken) <= 24
    assert len(store) == 64


def test_shards_are_bounded_in_bytes(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "SHARD_BYTES", 300)

    extract_features(FakeEncoder(), turns(50), store, batch_s=30)

    assert len(list(store.folder.glob("*.parquet"))) > 5


def test_turns_without_the_modality_are_passed_over_and_counted(store: FeatureStore) -> None:
    told: list[tuple[int, int]] = []
    absent = Turn(Utterance("absent", "c", 0, "s"), (), Path())

    count = extract_features(
        FakeEncoder(), [absent, *turns(9), absent], store, batch_s=20, progress=lambda what, *n: told.append(n)
    )

    assert count == 9
    assert told[-1] == (11, 11)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    extract_features(FakeEncoder(), iter([absent]), store, progress=lambda what, *n: told.append(n))
    assert told[-1] == (1, 0)


def test_a_turn_listed_twice_is_extracted_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "WINDOW", 4)

    assert extract_features(FakeEncoder(), [*turns(4), *turns(6), *turns(2)], store) == 6


def test_a_turn_whose_content_changed_is_extracted_again(store: FeatureStore) -> None:
    extract_features(FakeEncoder(), turns(5), store)

    assert extract_features(FakeEncoder(), [turn(0, "changed"), *turns(5)[1:]], store) == 1
    assert store.length("u0") == len("changed")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_with_the_utterance_s_name(store: FeatureStore, bad: float) -> None:
    encoder = FakeEncoder()
    encoder.poison["u3"] = bad

    with pytest.raises(MerkitError, match="Features of 'u3' have 1 NaN or infinite values of"):
        extract_features(encoder, turns(50), store, batch_s=20)

    stored = 50 - len(store.missing({each.utterance.id: each.utterance.text or "" for each in turns(50)}))
    assert stored == sum(len(batch) for batch in encoder.batches[:-1]) > 0


def test_with_failures_recorded_the_others_go_on_and_a_second_run_repeats_the_failed_alone(
    store: FeatureStore,
) -> None:
    encoder = FakeEncoder()
    failures: dict[str, str] = {}
    again: dict[str, str] = {}
    encoder.poison["u3"] = float("nan")

    count = extract_features(encoder, turns(8), store, failures=failures)
    encoder.batches.clear()
    repeated = extract_features(encoder, turns(8), store, failures=again)

    assert (count, repeated, len(store)) == (7, 0, 7)
    assert list(failures) == ["u3"]
    assert "NaN" in failures["u3"]
    assert again == failures
    assert all(batch == ["u3"] for batch in encoder.batches)


def test_an_error_that_no_utterance_is_to_blame_for_is_never_recorded(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = FakeEncoder()

    def fail(_: object) -> list[Array]:
        raise MerkitError("The encoder needs the extra 'prosody'")

    monkeypatch.setattr(encoder, "extract", fail)

    with pytest.raises(MerkitError, match="needs the extra"):
        extract_features(encoder, turns(3), store, failures={})


def test_nan_means_undefined_for_an_encoder_that_says_so_but_infinity_never(store: FeatureStore) -> None:
    encoder = UndefinedEncoder()
    encoder.poison["u3"] = np.nan
    extract_features(encoder, turns(5), store)
    assert np.isnan(store.get("u3", turns(5)[3].utterance.text or "")[0, 0])

    encoder.poison["u7"] = np.inf
    with pytest.raises(MerkitError, match="Features of 'u7' have 1 infinite values"):
        extract_features(encoder, turns(9), store)


def test_whole_numbers_such_as_tokens_are_stored_as_they_are(store: FeatureStore) -> None:
    class Tokens(FakeEncoder):
        def extract(self, turns: Sequence[Turn]) -> list[Array]:
            return [array.astype(np.int64) for array in super().extract(turns)]

    extract_features(Tokens(), turns(5), store)

    assert store.get("u0", turns(5)[0].utterance.text or "").dtype == np.int64


def test_ctrl_c_stores_the_finished_batches(store: FeatureStore) -> None:
    encoder = FakeEncoder()

    def interrupt(what: str, done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, turns(50), store, batch_s=20, progress=interrupt)

    assert 20 < len(reopened(store)) < 50


def test_an_array_shared_by_batch_mates_names_the_same_batch_after_an_interruption(store: FeatureStore) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(FakeEncoder(), turns(50), store, batch_s=20, progress=stop)
    extract_features(FakeEncoder(), turns(50), reopened(store), batch_s=20)
    undisturbed = FeatureStore.open(store.folder.parent / "undisturbed", FINGERPRINT, "fake")
    extract_features(FakeEncoder(), turns(50), undisturbed, batch_s=20)

    resumed = reopened(store)
    for each in turns(50):
        row = (each.utterance.id, each.utterance.text or "")
        assert np.array_equal(resumed.get(*row), undisturbed.get(*row))


def test_a_store_in_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("")

    with pytest.raises(MerkitError, match=r"Cannot write 'fake-\w+' in '.*features'"):
        FeatureStore.open(tmp_path / "features", FINGERPRINT, "fake")


def test_fingerprints_must_be_json_and_finite() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        fingerprint_hash({"a": float("nan")})
    assert fingerprint_hash({"a": 1}) != fingerprint_hash({"a": 2})
