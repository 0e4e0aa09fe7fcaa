"""What a checkpoint records of the plug-ins that merkit does not bring along, and how it gets them back.

Loading never runs another code than the one the weights were trained with, nor a file that came with a checkpoint.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, UnknownNameError
from merkit.core.lookup import KINDS, PLUGINS, PlugInSpec, load
from merkit.core.settings import Settings
from merkit.core.source import source_hash


class PlugInRecord(Settings):
    """One plug-in of an installed package or of the user, as a checkpoint's ``config.json`` has it."""

    kind: str
    name: str
    module: str
    sha256: str
    """The `source_hash` of the module's file."""
    distribution: str | None
    version: str | None
    file: str | None
    """Absolute path of a file of the user."""


def record_plug_ins(specs: Iterable[PlugInSpec]) -> list[dict[str, Any]]:
    """Return the records of those plug-ins that merkit does not bring along, as JSON values."""
    records = {}
    for spec in specs:
        origin = spec.origin
        if origin is not None and not origin.built_in:
            records[origin.kind, origin.name] = PlugInRecord(
                kind=origin.kind,
                name=origin.name,
                module=origin.module,
                sha256=origin.sha256,
                distribution=origin.distribution,
                version=origin.version,
                file=None if origin.distribution is not None else str(origin.file),
            ).model_dump()
    return list(records.values())


def load_recorded(kind: str, name: str, records: Mapping[tuple[str, str], PlugInRecord], folder: Path) -> Any:
    """Return the ``SPEC`` of a checkpoint's plug-in.

    Args:
        kind: A key of ``KINDS``.
        name: Its name.
        records: By kind and name, what the checkpoint records.
        folder: The checkpoint, for messages.

    Raises:
        UnknownNameError: merkit has no plug-in of this name.
        CheckpointError: The plug-in that the checkpoint was trained with is missing, or its code has changed.
    """
    record = records.get((kind, name))
    if record is None:
        spec = load(kind, name)
        if not spec.origin.built_in:
            raise CheckpointError(
                f"{folder}: {KINDS[kind]} '{name}' comes from {spec.origin}, expected merkit's own: the checkpoint "
                "does not record it; train it again"
            )
        return spec
    source = record.file or f"{record.distribution} {record.version} (module {record.module})"
    described = f"{folder}: {KINDS[kind]} '{name}' comes from {source}"
    try:
        spec = load(kind, name)
        _check_hash(record, described, spec.origin.sha256, spec.origin)
        return spec
    except UnknownNameError:
        if record.file is None:
            raise CheckpointError(f"{described}, which is not installed: install it") from None
    file = Path(record.file).resolve()
    if any((parent / "config.json").exists() and (parent / "model.safetensors").exists() for parent in file.parents):
        raise CheckpointError(f"{described}, a file inside a checkpoint, which is never run: keep it elsewhere")
    if not file.is_file():
        raise CheckpointError(
            f"{described}, which is missing: put it back, or name the file's new path in the environment variable "
            f"{PLUGINS}"
        )
    _check_hash(record, described, source_hash(file.read_bytes()), file)  # before it is run
    return load(kind, str(file))


def _check_hash(record: PlugInRecord, described: str, present: str, where: object) -> None:
    if present != record.sha256:
        raise CheckpointError(
            f"{described}; the code in {where} is another one (sha256 {present[:12]} found, {record.sha256[:12]} "
            "expected): bring back the code of training, or train again"
        )
