"""A checkpoint that joins two others: which they are, and the rule by which one changes the other's probabilities.

Its folder holds ``config.json``, which names built-in models with the hashes that they have, and a card. It has no
weights of its own.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from merkit.core.errors import CheckpointError
from merkit.core.settings import Settings
from merkit.formats.checkpoint_folder import CONFIG, check_folder, checksum, read_config_values

FORMAT = 1
"""Of joined checkpoints; raised whenever their files change."""

WORDS, VOICE = "words", "voice"
"""The names of the joined models, in predictions too."""

_Share = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]


class Source(Settings):
    """One of the joined models."""

    model_config = ConfigDict(strict=True)

    checkpoint: str
    """The name of a built-in model."""
    hash: str
    """Its `checkpoint_hash`: joined models belong together as they were."""


class JoinedCheckpoint(Settings):
    """The rule ``log p = log p(words) + weight * arousal * share(label)``, up to a constant.

    ``p(words)`` are the words' probabilities, prior included, and ``arousal`` is the log-odds of the voice's. Where one
    model has no probabilities, the other speaks alone.
    """

    model_config = ConfigDict(strict=True)

    joined: Literal[1]
    """The format."""
    words: Source
    voice: Source
    weight: float = Field(ge=0.0, le=100.0, allow_inf_nan=False)
    """How much the voice counts beside the words."""
    shares: dict[str, _Share]
    """By label, which way high arousal moves it; 0 for the others."""
    unsure_below: float = Field(ge=0.0, lt=1.0, allow_inf_nan=False)
    """As in `DecisionRule`, of the joined probabilities."""
    checksum: str
    """Of all else in this file."""

    @model_validator(mode="after")
    def _unchanged(self) -> "JoinedCheckpoint":
        if self.checksum != checksum(self.model_dump()):
            raise ValueError("it has changed since it was saved: copy the folder again")
        return self

    def join(self, probabilities: Mapping[str, float], arousal: float) -> dict[str, float]:
        """Return the words' probabilities after the voice was heard.

        Args:
            probabilities: The words', by label; they sum to 1.
            arousal: The voice's probability of high arousal.
        """
        held = min(max(arousal, 1e-6), 1 - 1e-6)
        log_odds = math.log(held) - math.log1p(-held)
        raised = {
            label: value * math.exp(self.weight * log_odds * self.shares.get(label, 0.0))
            for label, value in probabilities.items()
        }
        total = math.fsum(raised.values())
        return {label: value / total for label, value in raised.items()}


def is_joined(folder: Path) -> bool:
    """Return whether a checkpoint joins others.

    Raises:
        CheckpointError: As `read_config_values`.
    """
    return "joined" in read_config_values(folder)


def read_joined(folder: Path) -> JoinedCheckpoint:
    """Read a joined checkpoint.

    Raises:
        CheckpointError: It is damaged, of another format, or holds what does not belong there.
    """
    check_folder(folder)
    values = read_config_values(folder)
    if values["joined"] != FORMAT:
        raise CheckpointError(
            f"{folder} joins models in format {str(values['joined'])[:40]}, this merkit reads format {FORMAT}: upgrade "
            "merkit."
        )
    try:
        return JoinedCheckpoint(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{folder / CONFIG}: {key}: {first['msg']}. Was it edited by hand?") from error


def joined_values(**values: Any) -> dict[str, Any]:
    """Return the content of ``config.json``; ``values`` are the fields but for the format and the checksum."""
    whole = {"joined": FORMAT, **values}
    return {**whole, "checksum": checksum(whole)}
