"""Parley's options: the size of the corpus, its generative model, and how its recordings sound."""

from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from merkit.core.corpus import CorpusOptions
from merkit.corpora._parley_cast import VOICES
from merkit.corpora._parley_model import EmotionModel, Mode, Strengths, make_model

LATER = {"noise": 0, "hesitation": 0.0}
"""Options added later, with the values that describe corpora made before."""

Strength = Annotated[float, Field(ge=0.5, le=1)]
_STRENGTHS = {
    "complementary": Strengths(words_valence=0.88, words_arousal=0.65, prosody_valence=0.65, prosody_arousal=0.88),
    "xor": Strengths(0.95, 0.95, 0.95, 0.95),
    "word_prosody": Strengths(0.95, 0.95, 0.95, 0.95),
}


class ParleyOptions(CorpusOptions):
    """What the corpus is made from; the same options and speech engine give the same corpus, bit by bit."""

    seed: int = Field(0, ge=0)
    mode: Mode = "complementary"
    """Whether words and prosody each tell a part of the emotion, or only both together (``xor``, ``word_prosody``)."""
    conversations: int = Field(80, ge=3, le=9999)
    turns: int = Field(12, ge=2, le=500)
    """Turns per conversation, on average; they vary by a sixth."""
    speakers: int = Field(20, ge=6, le=len(VOICES), multiple_of=2)
    """Two make a session; at least three sessions, so that each split has speakers of its own."""
    words_valence: Strength | None = None
    """Probability that the words show the right valence (0.5: chance). ``None``, here and below: the mode's value."""
    words_arousal: Strength | None = None
    prosody_valence: Strength | None = None
    prosody_arousal: Strength | None = None
    persistence: float = Field(0.7, ge=0, le=1)
    """Weight of the speaker's last emotion."""
    contagion: float = Field(0.2, ge=0, le=1)
    """Weight of the other speaker's last emotion; the rest of the probability is uniform."""
    snr_db: float = Field(30.0, ge=-10, le=90, allow_inf_nan=False)
    """Speech above background noise."""
    channels: int = Field(1, ge=1, le=2)
    """1: both speakers in one channel; 2: one channel each."""
    noise: int = Field(0, ge=0, le=4096)
    """Columns of published features without any information about the emotion; 0: none are published."""
    hesitation: float = Field(0.0, ge=0, le=1)
    """Share of the words, except an utterance's first, that have a silence of 0.2 to 1.5 s before them."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.persistence + self.contagion > 1:
            raise ValueError(
                f"persistence {self.persistence} and contagion {self.contagion} exceed 1 together; lower one of them"
            )
        if self.conversations < self.speakers // 2:
            raise ValueError(
                f"{self.conversations} conversations are too few for {self.speakers} speakers in {self.speakers // 2} "
                "sessions; ask for at least one per session"
            )
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON values, without those of ``LATER`` that change nothing."""
        options = self.model_dump(mode="json")
        return {name: value for name, value in options.items() if name not in LATER or value != LATER[name]}

    def strengths(self) -> Strengths:
        """Return the four strengths; the mode's where an option is ``None``."""
        given = {name: value for name in Strengths.__slots__ if (value := getattr(self, name)) is not None}
        return replace(_STRENGTHS[self.mode], **given)

    def model(self) -> EmotionModel:
        """Return the generative model that these options describe."""
        return make_model(self.mode, self.strengths(), self.persistence, self.contagion)
