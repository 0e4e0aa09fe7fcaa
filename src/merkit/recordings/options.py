"""What a user chooses about a recording on its way from the file to utterances."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from merkit.core.errors import ConfigError
from merkit.data.files import file_hash
from merkit.recordings.channels import CHANNELS


@dataclass(frozen=True)
class RecordingOptions:
    """How a recording is read.

    Raises:
        ConfigError: A value is none of those expected.
    """

    channels: str = "auto"
    """One of `CHANNELS`; see `choose_channels`."""
    speech_check: bool = True
    """Whether sound without speech is left out; ``False``: a model that reads sound gets all of it, in one piece."""
    speakers_file: Path | None = None
    """Who speaks when: RTTM, a transcript in any format, or a table with start, end and speaker."""

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise ConfigError(f"channels is {self.channels!r}, expected one of {', '.join(CHANNELS)}")

    def identity(self) -> Mapping[str, Any]:
        """Return all values as JSON, files by the hash of their content.

        Raises:
            MerkitError: A file is missing or cannot be read.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: file_hash(value) if isinstance(value, Path) else value for name, value in values.items()}


DEFAULT_OPTIONS = RecordingOptions()
