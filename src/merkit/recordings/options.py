"""What a user chooses about a recording on its way from the file to utterances."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from merkit.core.arguments import check_fields
from merkit.core.errors import ConfigError
from merkit.core.language import language_code
from merkit.core.types import MODALITIES
from merkit.data.files import file_hash
from merkit.recordings.channels import CHANNELS
from merkit.recordings.speech import Region

MOST_SPEAKERS = 8


@dataclass(frozen=True)
class RecordingOptions:
    """How a recording is read, and what of it is kept.

    Raises:
        ConfigError: A value is none of those expected, or does not go with another one.
    """

    channels: str = "auto"
    """One of `CHANNELS`; see `choose_channels`."""
    speech_check: bool = True
    """Whether sound without speech is left out; ``False``: a model that reads sound gets all of it, in one piece."""
    track: int | None = None
    """Which audio track of a file, from 1; ``None``: the first one."""
    speakers_file: Path | None = None
    """Who speaks when: RTTM, a transcript in any format, or a table with start, end and speaker."""
    speakers: int | None = None
    """How many speakers there are on one channel, for speaker diarization."""
    marks: Mapping[str, Region] = field(default_factory=dict)
    """By the name of each speaker, where that one alone is heard for a few seconds: ``speakers`` is their number."""
    window_s: float | None = None
    """Longer speech without words is read in overlapping windows of this length; ``None``: it is cut to 15 s."""
    exclude_speakers: tuple[str, ...] = ()
    """Speakers whose voices and words reach no recogniser and no result."""
    language: str | None = None
    """Of the words, a code such as ``en``; ``None``: as the transcript or the recogniser says, or not known."""
    modalities: tuple[str, ...] | None = None
    """What a model may read; ``None``: all that it reads."""
    redact: bool = False
    """Whether the result has no words."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.channels not in CHANNELS:
            raise ConfigError(f"channels is {self.channels!r}, expected one of {', '.join(CHANNELS)}")
        if self.window_s is not None and not 1 <= self.window_s <= 600:
            raise ConfigError(f"a window of {self.window_s:g} s, expected 1 to 600")
        if self.track is not None and self.track < 1:
            raise ConfigError(f"track is {self.track}, expected 1, 2, …")
        for name, (start_s, end_s) in self.marks.items():
            if not 0 <= start_s < end_s:
                raise ConfigError(f"'{name}' is marked from {start_s:g} to {end_s:g} s, expected 0 <= start < end")
        if len(self.marks) == 1:
            raise ConfigError(f"1 speaker is marked, expected 2 to {MOST_SPEAKERS}: mark each who is heard")
        if self.marks and self.channels == "split":
            raise ConfigError(
                "channels='split' reads each channel as a speaker: leave out the marks, or use channels='mix'"
            )
        if self.count is not None and not 1 <= self.count <= MOST_SPEAKERS:
            raise ConfigError(f"{self.count} speakers, expected 1 to {MOST_SPEAKERS}")
        if self.marks and self.speakers not in (None, len(self.marks)):
            raise ConfigError(f"{len(self.marks)} speakers are marked, and --speakers is {self.speakers}: mark each")
        if self.count is not None and self.speakers_file is not None:
            raise ConfigError("--speakers-file says who speaks: leave out --speakers and --mark")
        if self.language is not None and language_code(self.language) is None:
            raise ConfigError(f"language is {self.language[:40]!r}, expected a code such as en or en-US")
        unknown = [name for name in self.modalities or () if name not in MODALITIES]
        if unknown or self.modalities == ():
            raise ConfigError(f"modalities are {list(self.modalities or ())}, expected some of {', '.join(MODALITIES)}")

    @property
    def count(self) -> int | None:
        """How many speakers there are on one channel, if it is known."""
        return len(self.marks) if self.marks else self.speakers

    def identity(self) -> Mapping[str, Any]:
        """Return all values as JSON, files by the hash of their content.

        Raises:
            MerkitError: A file is missing or cannot be read.
        """
        return {each.name: _as_json(getattr(self, each.name)) for each in fields(self)}


def _as_json(value: Any) -> Any:
    if isinstance(value, Path):
        return file_hash(value)
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


DEFAULT_OPTIONS = RecordingOptions()
