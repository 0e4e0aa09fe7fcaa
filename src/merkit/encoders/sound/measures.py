"""Encoders of acoustic measures: extracted once, standardised in the model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from merkit.core.encoder import Array, as_float32
from merkit.core.errors import MediaError
from merkit.core.types import Turn
from merkit.encoders._stored_vectors import StoredVectors
from merkit.encoders.sound.samples import RATE_HZ, audio_content, audio_duration_s, waveform

Measure = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]
"""From a waveform ``[time]`` at 16 kHz to its measures ``[dim]`` or ``[rows, dim]``; NaN where undefined."""


class SoundMeasures(StoredVectors):
    """Measures of a recording, ``[rows, dim]``, standardised with the training split's statistics.

    An undefined measure (NaN, a whisper's pitch) becomes the training mean; no column marks it.

    Args:
        name: The encoder's.
        version: Raised when the measures change.
        columns: Names of the measures.
        measure: Computes them.
        settings: What they depend on.
        licence: For the model card.
    """

    may_be_undefined: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        version: int,
        columns: Sequence[str],
        measure: Measure,
        settings: Mapping[str, Any] | None = None,
        licence: str | None = None,
    ) -> None:
        super().__init__("audio", len(columns), standardise=True)
        self.name, self.version, self.licence = name, version, licence
        self.columns = tuple(columns)
        self.settings = settings or {}
        self._measure = measure

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": self.name, "version": self.version, "rate_hz": RATE_HZ, **self.settings}

    def content(self, turn: Turn) -> str | None:
        return audio_content(turn)

    def duration_s(self, turn: Turn) -> float:
        return audio_duration_s(turn)

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        arrays: list[Array] = []
        for turn in turns:
            rows = np.atleast_2d(self._measure(waveform(turn)))
            if np.isinf(rows).any():
                column = self.columns[int(np.argmax(np.isinf(rows).any(axis=0)))]
                raise MediaError(f"Utterance '{turn.utterance.id}': {self.name} measures an infinite {column}")
            arrays.append(as_float32(rows))
        return arrays

    def describe(self) -> Mapping[str, Any]:
        licence = {} if self.licence is None else {"licence": self.licence}
        return {"encoder": self.name, "trained": False, "columns": list(self.columns), **self.settings, **licence}
