"""Preparation of a raw release: reads it, checks the counts, writes the manifest. Media stay in the release."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from merkit.core.corpus import CorpusOptions, CorpusSpec
from merkit.core.errors import ConfigError, CountError, ManifestError
from merkit.core.types import Utterance
from merkit.data.corpus.findings import write_findings
from merkit.data.corpus.labels import check_label_columns
from merkit.data.corpus.manifest import Manifest, count, write_manifest
from merkit.data.corpus.rows import counted_names
from merkit.data.features.published import write_published
from merkit.data.strict_json import parse_json

_log = logging.getLogger(__name__)


def prepare(
    spec: CorpusSpec,
    raw: Path,
    out: Path,
    options: CorpusOptions | Mapping[str, Any] | None = None,
    allow_partial: bool = False,
) -> Manifest:
    """Read a raw release with its adapter and write the manifest, published features and findings.

    Preparing again gives the same files. Nothing is written before the adapter has read everything and the counts are
    correct; the manifest is written last, so that an interrupted run leaves none that could be read.

    Args:
        spec: The adapter.
        raw: The release as unpacked.
        out: The manifest's folder; media paths in it are relative to this folder.
        options: The adapter's settings; ``None`` for its defaults.
        allow_partial: Accept counts that differ from the published ones; ``corpus.json`` then says ``partial``.

    Raises:
        CountError: The counts differ from the published ones; names each.
        ManifestError: The release cannot be read, or ``out`` holds another corpus.
    """
    _refuse_other_corpus(spec, out)
    _refuse_foreign_files(raw, out)
    corpus = spec.read(raw, _checked_options(spec, options))
    if not corpus.utterances:
        raise ManifestError(f"{spec.name}: no utterance found in {raw}; give the folder of the unpacked release")
    partial = _check_counts(spec, count(corpus.utterances), allow_partial)
    known = {utterance.id for utterance in corpus.utterances}
    for features in corpus.features:
        if unknown_ids := sorted(features.arrays.keys() - known):
            names = counted_names(unknown_ids, "id")
            raise ManifestError(f"{spec.name}: features '{features.name}' of {names} that no utterance has")
    base = Path(os.path.relpath(raw.resolve(), out.resolve()))
    utterances = [_moved(utterance, base) for utterance in corpus.utterances]
    for features in corpus.features:
        write_published(out / "precomputed" / features.name, features)
    odd_labels = check_label_columns(utterances)
    for finding in odd_labels:
        _log.warning("warning: %s, %s", out, finding.message)
    write_findings(out / "findings.json", [*corpus.findings, *odd_labels])
    return write_manifest(
        out,
        utterances,
        name=spec.name,
        version=spec.version,
        licence=spec.licence,
        facts=corpus.facts,
        partial=partial,
    )


def count_differences(counts: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Return one phrase per published count that differs.

    >>> count_differences({"train": 9988}, {"train": 9989})
    ['train 9,988 found, 9,989 expected (-1)']
    """
    return [
        f"{name} {counts.get(name, 0):,} found, {number:,} expected ({counts.get(name, 0) - number:+,})"
        for name, number in expected.items()
        if counts.get(name, 0) != number
    ]


def _checked_options(spec: CorpusSpec, options: CorpusOptions | Mapping[str, Any] | None) -> CorpusOptions:
    if isinstance(options, CorpusOptions):
        return options
    try:
        return spec.options.model_validate(dict(options or {}))
    except ValidationError as error:
        known = ", ".join(spec.options.model_fields) or "none"
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{spec.name}: {wrong}. Known options: {known}") from error


def _check_counts(spec: CorpusSpec, counts: Mapping[str, int], allow_partial: bool) -> bool:
    """Return whether the corpus is incomplete."""
    differences = count_differences(counts, spec.expected)
    if differences and not allow_partial:
        raise CountError(
            f"{spec.name}: counts differ from the published ones: {'; '.join(differences)}."
            " Was everything unpacked? --allow-partial uses what is present"
        )
    return bool(differences)


def _refuse_other_corpus(spec: CorpusSpec, out: Path) -> None:
    try:
        name = parse_json((out / "corpus.json").read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if name != spec.name:
        raise ManifestError(f"{out}: has corpus '{name}' already; choose another folder for '{spec.name}'")


def _refuse_foreign_files(raw: Path, out: Path) -> None:
    """Refuse to write a manifest over files that no earlier call wrote, or over the release itself."""
    description, table, findings = (out / name for name in ("corpus.json", "utterances.parquet", "findings.json"))
    foreign = [description] if _is_foreign(description, dict, {"schema", "sha256"}) else []
    foreign += [table] if table.exists() and (foreign or not description.exists()) else []
    foreign += [findings] if _is_foreign(findings, list, {"level", "code", "message"}) else []
    for path in foreign:
        if path.stat().st_size:
            raise ManifestError(
                f"'{path}' exists, and merkit did not write it: move it away, or choose another folder for the corpus"
            )
    for path in (description, table, findings):
        if path.exists() and raw.exists() and path.samefile(raw):
            raise ManifestError(f"'{path}' is what the corpus is read from: choose another folder for it")


def _is_foreign(path: Path, kind: type, keys: set[str]) -> bool:
    """Return whether a file is JSON that merkit does not write there; what is no JSON is damaged and made again."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    rows = content if isinstance(content, list) else [content]
    return not (isinstance(content, kind) and all(isinstance(row, dict) and keys <= row.keys() for row in rows))


def _moved(utterance: Utterance, base: Path) -> Utterance:
    """Return the utterance with media paths relative to the manifest; absolute paths stay."""

    def moved(relative: str | None) -> str | None:
        return None if relative is None else Path(os.path.normpath(base / relative)).as_posix()

    return replace(utterance, audio=moved(utterance.audio_path), video=moved(utterance.video))
