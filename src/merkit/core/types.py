"""Utterances, turns, conversations and predictions. Nothing here imports torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from merkit.core.waveform import Channel, Track, Waveform, Whole

Scalar = str | float | int | bool | None
"""A value of an attribute, as a corpus has it."""

MODALITIES = ("text", "audio", "video")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance as a corpus has it, before a protocol chooses utterances or labels.

    ``None`` in ``text``, ``audio`` or ``video`` means that the corpus has none; an empty text is a text. ``audio`` is a
    path, or a waveform, a track or a channel where no corpus is behind the utterance. ``start_s`` and ``end_s``
    (seconds) cut the utterance out of its recording; ``None`` means the recording's beginning or end. Media paths are
    relative to the manifest's folder, or absolute.
    """

    id: str
    conversation: str
    turn: int
    speaker: str
    text: str | None = None
    audio: str | Waveform | Track | Channel | None = None
    video: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    language: str | None = None
    attributes: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def audio_path(self) -> str | None:
        """The path of its audio, as a corpus has it; ``None`` where there is none."""
        return self.audio if isinstance(self.audio, str) else None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Utterances of one conversation in order of turn; turns count from 0 without gaps.

    Raises:
        ValueError: The utterances are not of one conversation, or their turns are not 0, 1, 2, …
    """

    id: str
    utterances: tuple[Utterance, ...]

    def __post_init__(self) -> None:
        for expected, utterance in enumerate(self.utterances):
            if utterance.conversation != self.id:
                raise ValueError(
                    f"utterance '{utterance.id}' is of conversation '{utterance.conversation}', not '{self.id}'"
                )
            if utterance.turn != expected:
                raise ValueError(f"utterance '{utterance.id}' has turn {utterance.turn}, expected {expected}")


@dataclass(frozen=True, slots=True)
class Turn:
    """What an encoder reads: an utterance, its context in the conversation, and the folder of its media.

    ``previous`` are the utterances before it, oldest first; ``following`` those after it, next one first, for encoders
    that read them. Utterances carry no attributes here, so no label can reach an encoder.
    """

    utterance: Utterance
    previous: tuple[Utterance, ...]
    root: Path
    following: tuple[Utterance, ...] = ()

    @property
    def recording(self) -> Whole | Channel | None:
        """What the utterance is cut from: a file, a waveform, a track, a channel, or ``None`` where it has no audio."""
        audio = self.utterance.audio
        return self.root / audio if isinstance(audio, str) else audio


def turns_of(utterances: Sequence[Utterance], root: Path, context: int = 0, following: int = 0) -> Iterator[Turn]:
    """Yield the turns of one conversation, each with at most ``context`` previous and ``following`` later ones."""
    for number, utterance in enumerate(utterances):
        previous = tuple(utterances[max(0, number - context) : number])
        yield Turn(utterance, previous, root, tuple(utterances[number + 1 : number + 1 + following]))


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's prediction for one utterance.

    ``probabilities`` are by label name and sum to 1; ``confidence`` is the largest of them; ``modalities`` are those
    that were present. A model with a decision rule may give no ``label``: where it is unsure, its probabilities stay;
    where it lacks a reference of the speaker it has none, and their mapping is empty. ``reason`` says which.

    A multi-label model has a probability of each label on its own, which do not sum to 1. ``labels`` are those that
    reach their thresholds, ``label`` is the most probable of them, and where none does there is no ``label``.
    """

    id: str
    label: str | None
    probabilities: Mapping[str, float]
    confidence: float | None
    modalities: tuple[str, ...]
    reason: str | None = None
    """Why there is no label; ``None``: there is one."""
    arousal: float | None = None
    """Probability that arousal is higher than the speaker's own average; ``None``: the model does not predict it."""
    labels: tuple[str, ...] | None = None
    """All labels of an utterance, the most probable one first, by a multi-label model; ``None``: the model has one
    label per utterance."""
    sources: Mapping[str, "Prediction"] = field(default_factory=dict)
    """What each of several models says alone, by its name, where a rule joins them; empty: one model."""

    @property
    def is_unsure(self) -> bool:
        """Whether a model of one label per utterance gives none because no probability is high enough."""
        return self.label is None and self.labels is None and bool(self.probabilities)
