"""What a checkpoint records of the plug-ins that merkit does not bring along, and how it gets them back.

Loading never runs another code than the one the weights were trained with, nor a file that came with a checkpoint.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, UnknownNameError
from merkit.core.lookup import KINDS, PLUGINS, PlugInSpec, load, load_built_in
from merkit.core.settings import Settings
from merkit.core.source import changed_files, code_hashes


class PlugInRecord(Settings):
    """One plug-in of an installed package or of the user, as a checkpoint's ``config.json`` has it."""

    kind: str
    name: str
    module: str
    code: dict[str, str]
    """As `Origin.code`."""
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
                code=dict(origin.code),
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
        CheckpointError: It is named by a path, merkit has none of this name and the checkpoint records none, or the one
            that the checkpoint was trained with is missing, or its code has changed.
    """
    if not name.replace("-", "_").isidentifier():
        raise CheckpointError(f"{folder}: '{name}' was found, expected the name of a {KINDS[kind]}")
    record = records.get((kind, name))
    if record is None:
        try:
            return load_built_in(kind, name)
        except UnknownNameError as error:
            raise CheckpointError(f"{folder} records no code from elsewhere, expected merkit's own. {error}") from None
    source = record.file or f"{record.distribution} {record.version} (module {record.module})"
    described = f"{folder}: {KINDS[kind]} '{name}' comes from {source}"
    try:
        spec = load(kind, name)
        _check_code(record, described, spec.origin.code, spec.origin)
        return spec
    except UnknownNameError:
        if record.file is None:
            raise CheckpointError(f"{described}, which is not installed: install it") from None
    file = Path(record.file)
    if not file.is_absolute():
        raise CheckpointError(f"{described}, expected the absolute path of a file: train it again")
    if _in_checkpoint(file, folder):
        raise CheckpointError(f"{described}, a file inside a checkpoint, which is never run: keep it elsewhere")
    if not file.is_file():
        raise CheckpointError(
            f"{described}, which is missing: put it back, or name the file's new path in the environment variable "
            f"{PLUGINS}"
        )
    resolved = file.resolve()
    _check_code(record, described, code_hashes({resolved: resolved.read_bytes()}), file)  # before it is run
    return load(kind, str(file))


def _in_checkpoint(file: Path, folder: Path) -> bool:
    """Return whether a path leads through the checkpoint ``folder`` or another, also by links into or out of one."""
    passed = {parent for path in (file, *file.parents) for parent in (path, *path.resolve().parents)}
    return folder.resolve() in passed or any(
        (parent / "config.json").exists() and (parent / "model.safetensors").exists() for parent in passed
    )


def _check_code(record: PlugInRecord, described: str, present: Mapping[str, str], where: object) -> None:
    changed = changed_files(record.code, present)
    if changed:
        raise CheckpointError(
            f"{described}; the code in {where} is another one ({', '.join(changed)} changed): bring back the code of "
            "training, or train again"
        )
