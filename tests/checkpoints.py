"""Checkpoints that someone edited on purpose, with hashes that fit again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit.formats.checkpoint_folder import checksum, file_hashes


def reseal(checkpoint: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Change keys of a checkpoint's ``config.json``, and let its hashes fit the files that lie there."""
    path = checkpoint / "config.json"
    values = json.loads(path.read_text()) | (changes or {}) | {"files": file_hashes(checkpoint)}
    path.write_text(json.dumps(values | {"checksum": checksum(values)}))
    return checkpoint
