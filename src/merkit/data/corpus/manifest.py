"""The manifest of a prepared corpus: a table of utterances and a description of the corpus.

A manifest is a folder with ``utterances.parquet`` (``.csv``, ``.tsv`` and ``.jsonl`` are read as well) and
``corpus.json``. The columns of ``rows.RESERVED`` mean what ``Utterance`` says; every other column is an attribute,
which every utterance then carries (``None`` where the cell is empty). Conventions:

* ``id`` is required. An utterance without ``text``, ``audio`` and ``video`` may still have features of its own.
* An absent or empty ``conversation`` is the utterance's own id; absent turns count up in the order of the rows.
* An absent ``speaker`` is ``""``: not known. Within one conversation all unknown speakers count as one person.
* Utterances are sorted by conversation, in order of first appearance, and by turn.
* A folder without ``corpus.json`` is a user's own table: corpus ``table``, version 0.

``sha256`` is that of the utterances' content, the same in all three formats. ``corpus.json`` is written before the
utterances: after an interruption the hashes differ, and reading is refused.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from pydantic import ConfigDict, TypeAdapter, ValidationError

from merkit.core.errors import ManifestError
from merkit.core.types import MODALITIES, Conversation, Turn, Utterance, turns_of
from merkit.data.corpus.rows import (
    NAMES,
    RESERVED,
    SHOWN,
    STRINGS,
    TIMES,
    counted_names,
    to_arrays,
    to_columns,
    to_utterances,
)
from merkit.data.corpus.tables import SUFFIXES, read_columns
from merkit.data.files import atomic_path, write_texts
from merkit.data.strict_json import parse_json

SCHEMA = 1
UNPREPARED = 0
"""The version of a table that no adapter made."""
"""Number of the format described above."""
FEATURES = "precomputed"
"""Folder beside the table: one folder for each set of features that were published or imported."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusInfo:
    """The content of ``corpus.json``.

    ``counts`` holds ``utterances``, ``conversations`` and, where there is an attribute ``split``, ``<split>`` and
    ``<split>.conversations``. ``partial``: the counts differ from the published ones and the user allowed it.
    """

    name: str
    version: int
    schema: int
    counts: Mapping[str, int]
    licence: str
    facts: Mapping[str, Any]
    partial: bool
    sha256: str

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Manifest:
    """Utterances ordered by conversation and turn, and the folder that their media paths are relative to."""

    root: Path
    utterances: tuple[Utterance, ...]
    info: CorpusInfo

    @property
    def sha256(self) -> str:
        """Hash of the utterances' content."""
        return self.info.sha256

    @cached_property
    def by_id(self) -> Mapping[str, Utterance]:
        """Utterances by id, in the manifest's order."""
        return {utterance.id: utterance for utterance in self.utterances}

    def conversations(self) -> tuple[Conversation, ...]:
        """Return the conversations in order of first appearance."""
        return tuple(Conversation(name, tuple(members)) for name, members in _grouped(self.utterances).items())

    def turns(self, members: Collection[str] | None = None, context: int = 0, following: int = 0) -> Iterator[Turn]:
        """Yield the turns that encoders read, without attributes, with as many members around each as asked for.

        Args:
            members: Ids to use; ``None`` means all. Other utterances are not in a context either.
            context: How many earlier members of the same conversation, oldest first.
            following: How many later ones, next one first.

        Raises:
            ManifestError: A member is not in the manifest.
        """
        if members is not None:
            members = frozenset(members)
            if unknown_ids := sorted(members - self.by_id.keys()):
                raise ManifestError(
                    f"{self.root}: {counted_names(unknown_ids, 'requested utterance')} not in the manifest"
                )
        chosen = (u for u in self.utterances if members is None or u.id in members)
        yield from conversation_turns(chosen, self.root, context, following)

    def sealed(self, ids: Collection[str]) -> "Manifest":
        """Return the manifest with these utterances' attributes removed, labels included; its hash stays."""
        ids = frozenset(ids)
        utterances = tuple(replace(u, attributes={}) if u.id in ids else u for u in self.utterances)
        return replace(self, utterances=utterances)

    def media_path(self, relative: str) -> Path:
        """Return the path of a media file; an absolute path is returned as it is."""
        return self.root / relative


def conversation_turns(
    utterances: Iterable[Utterance], root: Path, context: int = 0, following: int = 0
) -> Iterator[Turn]:
    """Yield the turns of utterances, conversation by conversation; see `Manifest.turns`."""
    for group in _grouped(utterances).values():
        yield from turns_of([replace(u, attributes={}) for u in group], root, context, following)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The folder, or its table alone (``corpus.json`` beside it is then read too).

    Raises:
        ManifestError: Something is missing or wrong; all mistakes of the table are listed, ten in words.
    """
    table = path if path.is_file() or (path.suffix.lower() in SUFFIXES and not path.is_dir()) else _find_table(path)
    columns = read_columns(table, strings=(*NAMES, *STRINGS), numbers=("turn", *TIMES))
    utterances = _ordered(to_utterances(columns, str(table)))
    info = _read_info(table.parent / "corpus.json", utterances)
    empty = [u.id for u in utterances if all(getattr(u, modality) is None for modality in MODALITIES)]
    if empty and not (table.parent / FEATURES).is_dir():
        _log.warning(
            f"{table}: {counted_names(empty, 'utterance')} without text, audio and video, and no features: there is "
            "nothing that a model could read"
        )
    return Manifest(table.parent, utterances, info)


def is_corpus(path: Path) -> bool:
    """Return whether a path is a folder with a table of utterances."""
    return bool(_tables(path))


def write_manifest(
    folder: Path,
    utterances: Sequence[Utterance],
    *,
    name: str,
    version: int,
    licence: str = "",
    facts: Mapping[str, Any] | None = None,
    partial: bool = False,
) -> Manifest:
    """Write ``corpus.json`` and ``utterances.parquet`` and return the manifest as it reads back.

    The same utterances give the same bytes. Another table in the folder (``utterances.csv``) is refused: it would be
    ambiguous.

    Raises:
        ManifestError: The utterances break the rules, or the folder cannot be written.
    """
    for other in _tables(folder):
        if other.name != "utterances.parquet":
            raise ManifestError(f"{folder}: has {other.name} already; move it or choose another folder")
    columns = to_columns(utterances)
    checked = _ordered(to_utterances(columns, "utterances"))
    info = CorpusInfo(
        name=name,
        version=version,
        schema=SCHEMA,
        counts=count(checked),
        licence=licence,
        facts=dict(facts or {}),
        partial=partial,
        sha256=content_hash(checked),
    )
    arrays = to_arrays(to_columns(checked))
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps(vars(info), indent=2, sort_keys=True, ensure_ascii=False)
    write_texts({folder / "corpus.json": described + "\n"})
    with atomic_path(folder / "utterances.parquet") as temporary:
        pyarrow.parquet.write_table(pyarrow.table(arrays), temporary)
    return Manifest(folder, checked, info)


def count(utterances: Iterable[Utterance]) -> dict[str, int]:
    """Return counts under the names that ``CorpusSpec.expected`` uses."""
    rows: Counter[str] = Counter()
    conversations: dict[str, set[str]] = {}
    for utterance in utterances:
        split = utterance.attributes.get("split")
        for name in ("", *([] if split is None else [str(split)])):
            rows[name] += 1
            conversations.setdefault(name, set()).add(utterance.conversation)
    counts = {"utterances": rows[""], "conversations": len(conversations.get("", ()))}
    for name in sorted(name for name in rows if name):
        counts[name] = rows[name]
        counts[f"{name}.conversations"] = len(conversations[name])
    return counts


def content_hash(utterances: Iterable[Utterance]) -> str:
    """Return the SHA-256 of the utterances in their order; empty attributes and their order do not matter."""
    digest = hashlib.sha256()
    for utterance in utterances:
        fields = {name: getattr(utterance, name) for name in RESERVED} | {"attributes": dict(utterance.attributes)}
        fields["attributes"] = {name: cell for name, cell in fields["attributes"].items() if cell is not None}
        digest.update(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _find_table(folder: Path) -> Path:
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder; `merkit prepare` makes one from a raw corpus")
    tables = _tables(folder)
    if not tables:
        present = ", ".join(sorted(entry.name for entry in folder.iterdir())[:SHOWN]) or "nothing"
        raise ManifestError(f"{folder}: expected utterances.parquet, .csv, .jsonl or .tsv, found {present}")
    if len(tables) > 1:
        raise ManifestError(f"{folder}: expected one table, found {' and '.join(table.name for table in tables)}")
    return tables[0]


def _tables(folder: Path) -> list[Path]:
    """Return the files of a folder that may be its table, in the order of ``SUFFIXES``."""
    names = [f"utterances{suffix}" for suffix in SUFFIXES]
    found = [entry for entry in (folder.iterdir() if folder.is_dir() else ()) if entry.name.lower() in names]
    return sorted(found, key=lambda entry: (names.index(entry.name.lower()), entry.name))


def _read_info(path: Path, utterances: Sequence[Utterance]) -> CorpusInfo:
    counts, sha256 = count(utterances), content_hash(utterances)
    if not path.is_file():
        return CorpusInfo("table", UNPREPARED, SCHEMA, counts, "", {}, False, sha256)
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path}: not JSON ({error}); run `merkit prepare` again") from error
    schema = stored.get("schema") if isinstance(stored, dict) else None
    if schema != SCHEMA:
        raise ManifestError(f"{path}: schema {schema} found, this merkit reads {SCHEMA}; run `merkit prepare` again")
    try:
        info = TypeAdapter(CorpusInfo).validate_python(stored)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ManifestError(f"{path}: {wrong}; run `merkit prepare` again") from error
    if info.sha256 != sha256:
        raise ManifestError(
            f"{path}: sha256 {info.sha256[:12]} expected, but the utterances beside it have {sha256[:12]}; run"
            " `merkit prepare` again, or delete corpus.json if you changed the table on purpose"
        )
    return info


def _ordered(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    return tuple(utterance for group in _grouped(utterances).values() for utterance in group)


def _grouped(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.conversation, []).append(utterance)
    return {name: sorted(group, key=lambda utterance: utterance.turn) for name, group in groups.items()}
