"""Parley's generative model of emotions, words and prosody, and exact inference in it.

Conventions: classes are numbered as in ``EMOTIONS``; each is a pair of bits, *valence* (1 = unpleasant) and *arousal*
(1 = high). A turn shows two cues, the class of its words ``w`` and the class of its prosody ``a``. Inference is exact:
no learning, no approximation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Mode = Literal["complementary", "xor", "word_prosody"]
Floats = Float[np.ndarray, "..."]
Ints = Int[np.ndarray, "..."]

EMOTIONS = ("neutral", "happy", "angry", "sad")
CLASSES = len(EMOTIONS)
_VALENCE = np.array([0, 0, 1, 1])
_AROUSAL = np.array([0, 1, 1, 0])
_BY_BITS = np.array([[0, 1], [3, 2]])
"""Class by valence and arousal bit."""

_WORDS_PER_KIND = 2
"""In a sentence of mode ``word_prosody``."""


ORDERS = tuple(sorted(set(permutations([*range(CLASSES)] * _WORDS_PER_KIND))))
"""Orders of kinds in such a sentence: that of the first word, of the second, and so on."""

CONTINUES = 0.15
"""Probability that the next turn has the same speaker."""

VIEWS = (
    "text",
    "audio",
    "fused",
    "fused_causal",
    "fused_conversation",
    "text_conversation",
    "audio_conversation",
)
"""What is observed: an utterance's words, its prosody, both; both of all turns so far; of the whole conversation."""


@dataclass(frozen=True, slots=True)
class Strengths:
    """Probability that each cue shows each bit as it is: 0.5 is chance, 1 certain."""

    words_valence: float
    words_arousal: float
    prosody_valence: float
    prosody_arousal: float


@dataclass(frozen=True, slots=True)
class EmotionModel:
    """The generative model: ``cues [class, words, prosody]`` and the weights of earlier emotions."""

    cues: Floats
    """P(words, prosody | emotion)"""
    persistence: float
    """Weight of the speaker's own last emotion."""
    contagion: float
    """Weight of the other speaker's last emotion."""

    def transition(self) -> Float[np.ndarray, "own other next"]:
        """Return P(emotion | speaker's last, other's last), ``[5, 5, 4]``; index 4 stands for "has not spoken yet".

        ``persistence [y = own] + contagion [y = other] + (rest) / 4``, where the weight of one who has not spoken is
        spread evenly. Every emotion is therefore equally likely at every turn before observation.
        """
        last = np.vstack([np.eye(CLASSES), np.full((1, CLASSES), 1 / CLASSES)])
        rest = 1 - self.persistence - self.contagion
        return self.persistence * last[:, None] + self.contagion * last[None, :] + rest / CLASSES


def make_model(mode: Mode, strengths: Strengths, persistence: float, contagion: float) -> EmotionModel:
    """Build the model of a mode.

    ``complementary``: words and prosody are independent given the emotion, each a copy of it with either bit flipped at
    its own rate. ``xor``: words are uniform, and prosody is the bitwise exclusive-or of emotion and words, both again
    with flips; one alone has no information. ``word_prosody``: the sentence has words of four kinds, two of each in a
    random order, prosody stresses one position, and the kind of the word in it is the emotion, again with flips (the
    rates of both cues combined); neither order nor position alone has information.
    """
    words = _flips(strengths.words_valence, strengths.words_arousal)
    prosody = _flips(strengths.prosody_valence, strengths.prosody_arousal)
    if mode == "complementary":
        table = words[:, :, None] * prosody[:, None, :]
    elif mode == "xor":
        other = np.stack([flipped(np.arange(CLASSES), flip) for flip in range(CLASSES)])
        table = np.einsum("uw,yua->ywa", words, prosody[other]) / CLASSES
    else:
        kind = words @ prosody
        table = np.stack([kind[:, list(order)] for order in ORDERS], axis=1) / (len(ORDERS) * _WORDS_PER_KIND)
    return EmotionModel(table, persistence, contagion)


def _flips(valence: float, arousal: float) -> Float[np.ndarray, "true seen"]:
    """Return P(seen class | true class) when each bit is kept with its probability, independently."""
    kept_valence = np.where(_VALENCE[:, None] == _VALENCE, valence, 1 - valence)
    kept_arousal = np.where(_AROUSAL[:, None] == _AROUSAL, arousal, 1 - arousal)
    return kept_valence * kept_arousal


@dataclass(frozen=True, slots=True)
class Script:
    """Conversations of equal length in symbols, each array ``[conversations, turns]``."""

    speakers: Ints
    """0 or 1"""
    emotions: Ints
    words: Ints
    prosody: Ints


def draw(model: EmotionModel, conversations: int, turns: int, rng: np.random.Generator) -> Script:
    """Draw conversations from the model."""
    speakers, emotions = draw_emotions(model, conversations, turns, rng)
    return Script(speakers, emotions, *draw_cues(model, emotions, rng))


def draw_emotions(model: EmotionModel, conversations: int, turns: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw who speaks (0 or 1) and the hidden emotions, both ``[conversations, turns]``."""
    transition = model.transition()
    rows = np.arange(conversations)
    last = np.full((conversations, 2), CLASSES)
    speaker = rng.integers(2, size=conversations)
    speakers, emotions = [], []
    for turn in range(turns):
        if turn:
            speaker = np.where(rng.random(conversations) < CONTINUES, speaker, 1 - speaker)
        emotion = _choose(transition[last[rows, speaker], last[rows, 1 - speaker]], rng)
        last[rows, speaker] = emotion
        speakers.append(speaker)
        emotions.append(emotion)
    return np.stack(speakers, axis=1), np.stack(emotions, axis=1)


def draw_cues(model: EmotionModel, emotions: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the class of words and of prosody of every turn."""
    steps = model.cues.reshape(CLASSES, -1).cumsum(axis=1)
    chances = rng.random(emotions.size).reshape(emotions.shape)
    seen = np.zeros(emotions.shape, dtype=np.int64)
    for emotion in range(CLASSES):
        here = emotions == emotion
        seen[here] = steps[emotion].searchsorted(chances[here] * steps[emotion, -1], side="right")
    words, prosody = np.divmod(np.minimum(seen, steps.shape[1] - 1), model.cues.shape[2])
    return words, prosody


def flipped(emotions: Ints, flip: int) -> Ints:
    """Return emotions with the bits of class ``flip`` flipped: a permutation that keeps their probability."""
    return np.asarray(_BY_BITS[_VALENCE[emotions] ^ _VALENCE[flip], _AROUSAL[emotions] ^ _AROUSAL[flip]])


def _choose(probabilities: Float[np.ndarray, "rows options"], rng: np.random.Generator) -> Ints:
    """Draw one option per row."""
    steps = probabilities.cumsum(axis=1)
    drawn = (rng.random(len(probabilities))[:, None] * steps[:, -1:] >= steps).sum(axis=1)
    return np.asarray(np.minimum(drawn, probabilities.shape[1] - 1))


def posteriors(model: EmotionModel, script: Script, view: str) -> Float[np.ndarray, "conversations turns classes"]:
    """Return P(emotion of each turn | what the view observes), by the forward and backward recursions.

    The state after a turn is the pair of both speakers' last emotions, so the recursions are exact for any order of
    speakers. The order of speakers is known in every view and independent of emotions.
    """
    cue, _, scope = view.partition("_")
    likelihood = _likelihood(model, script, cue)
    if not scope:
        return np.asarray(likelihood / likelihood.sum(axis=-1, keepdims=True))
    transition = model.transition()
    conversations, turns = script.speakers.shape
    second = script.speakers.astype(bool)

    beliefs = []
    belief = np.zeros((conversations, CLASSES + 1, CLASSES + 1))
    belief[:, -1, -1] = 1
    for turn in range(turns):
        own_first = _turned(belief, second[:, turn])
        moved = np.zeros_like(belief)
        moved[:, :CLASSES] = np.einsum("noq,oqy,ny->nyq", own_first, transition, likelihood[:, turn])
        moved /= moved.sum(axis=(1, 2), keepdims=True)
        beliefs.append(moved)
        belief = _turned(moved, second[:, turn])
    if scope == "causal":
        return np.stack([own_first[:, :CLASSES].sum(axis=2) for own_first in beliefs], axis=1)

    smoothed = []
    future = np.ones_like(belief)
    for turn in reversed(range(turns)):
        own_first = _turned(future, second[:, turn])
        joint = (beliefs[turn] * own_first)[:, :CLASSES].sum(axis=2)
        smoothed.append(joint / joint.sum(axis=1, keepdims=True))
        before = np.einsum("oqy,ny,nyq->noq", transition, likelihood[:, turn], own_first[:, :CLASSES])
        before /= before.max(axis=(1, 2), keepdims=True)
        future = _turned(before, second[:, turn])
    return np.stack(smoothed[::-1], axis=1)


def _likelihood(model: EmotionModel, script: Script, cue: str) -> Float[np.ndarray, "conversations turns classes"]:
    """Return P(cue | emotion) for words (``text``), prosody (``audio``) or both (``fused``)."""
    if cue == "text":
        return np.asarray(model.cues.sum(axis=2).T[script.words])
    if cue == "audio":
        return np.asarray(model.cues.sum(axis=1).T[script.prosody])
    return np.asarray(np.moveaxis(model.cues, 0, -1)[script.words, script.prosody])


def _turned(state: Floats, second: Bool[np.ndarray, " conversations"]) -> Floats:
    """Swap the two speakers' axes in the conversations whose turn is the second speaker's (its own inverse)."""
    return np.where(second[:, None, None], state.transpose(0, 2, 1), state)


def accuracies(model: EmotionModel, scripts: Sequence[Script]) -> dict[str, float]:
    """Return, by view, the accuracy of the best possible decisions in these conversations."""
    total = sum(script.emotions.size for script in scripts)
    return {
        view: sum(int((_best(posteriors(model, each, view)) == each.emotions).sum()) for each in scripts) / total
        for view in VIEWS
    }


def _best(posterior: Floats) -> Ints:
    """Return the likeliest class; of equally likely ones (up to rounding) the first."""
    return np.asarray((posterior >= posterior.max(axis=-1, keepdims=True) - 1e-9).argmax(axis=-1))


def expected_accuracies(model: EmotionModel, turns: int, conversations: int, seed: int) -> Mapping[str, float]:
    """Return, by view, the expected best reachable accuracy.

    Views of one utterance are exact sums over all cues. Views with context are means of the largest exact posterior
    over ``conversations`` random conversations.
    """
    joint = model.cues / CLASSES
    exact = {
        "text": joint.sum(axis=2).max(axis=0).sum(),
        "audio": joint.sum(axis=1).max(axis=0).sum(),
        "fused": joint.max(axis=0).sum(),
    }
    script = draw(model, conversations, turns, np.random.default_rng(seed))
    return {
        view: float(exact[view] if view in exact else posteriors(model, script, view).max(axis=-1).mean())
        for view in VIEWS
    }
