"""Encoders of acoustic measures: extracted once, standardised in the model."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder, as_float32
from merkit.core.errors import MediaError
from merkit.core.types import Turn
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform
from merkit.nn.standardization import Standardizer, standardised


class SoundRows(Encoder):
    """Measures of a recording, ``[rows, dim]``, standardised with the training split's statistics.

    An undefined measure (NaN, a whisper's pitch) becomes the training mean. A subclass has ``name``, ``version``,
    ``columns`` and ``rows``.
    """

    may_be_undefined: ClassVar[bool] = True
    name: ClassVar[str]
    version: ClassVar[int]
    """Raised when the measures change."""
    columns: tuple[str, ...]

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self.modality = "audio"
        self.columns = tuple(columns)
        self.dim = len(self.columns)
        self.standardizer = Standardizer(self.dim)

    @abstractmethod
    def rows(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the measures ``[rows, dim]`` of a waveform ``[time]`` at 16 kHz; NaN where undefined."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": self.name, "version": self.version, "rate_hz": RATE_HZ}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        arrays: list[Array] = []
        for turn in turns:
            rows = self.rows(waveform(turn))
            if np.isinf(rows).any():
                column = self.columns[int(np.argmax(np.isinf(rows).any(axis=0)))]
                raise MediaError(f"Utterance '{turn.utterance.id}': {self.name} measures an infinite {column}")
            arrays.append(as_float32(rows))
        return arrays

    def blank(self) -> Array:
        return np.zeros((1, self.dim), dtype=np.float32)

    def forward(self, padded: Padded) -> Padded:
        return standardised(padded, self.standardizer)

    def fit(self, arrays: Iterable[Array]) -> None:
        self.standardizer.fit(arrays)

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": self.name, "trained": False, "columns": list(self.columns)}


class SoundMeasures(SoundRows):
    """Measures of a whole utterance, one row ``[1, dim]``; a subclass has ``measure``.

    No column marks undefined measures.
    """

    @abstractmethod
    def measure(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the measures ``[dim]`` of a waveform ``[time]`` at 16 kHz; NaN where undefined."""

    def rows(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return self.measure(samples)[None]
