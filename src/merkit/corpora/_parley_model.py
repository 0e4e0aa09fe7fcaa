"""Parley's model: how hidden emotions make words and voices, and the exact inference that undoes it.

Conventions: classes are numbered as in ``EMOTIONS``; each is a pair of bits, *valence* (1 = unpleasant) and *arousal*
(1 = roused). A turn shows two witnesses, the class of its words ``w`` and the class of its voice ``a``. Everything that
follows from the witnesses follows exactly: no learning, no approximation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

Mode = Literal["complementary", "xor", "word_prosody"]
MODES: tuple[Mode, ...] = get_args(Mode)
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


def _arrangements(left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield every order of kinds of which so many each are left, in the order of their numbers."""
    if not any(left):
        yield ()
    for kind, count in enumerate(left):
        if count:
            rest = (*left[:kind], count - 1, *left[kind + 1 :])
            yield from ((kind, *order) for order in _arrangements(rest))


ORDERS: tuple[tuple[int, ...], ...] = tuple(_arrangements((_WORDS_PER_KIND,) * CLASSES))
"""Orders of kinds in such a sentence: that of the first word named, of the second, and so on."""

CONTINUES = 0.15
"""Probability that the same speaker goes on with another turn; otherwise the other one answers."""

VIEWS = (
    "text",
    "audio",
    "fused",
    "fused_causal",
    "fused_conversation",
    "text_conversation",
    "audio_conversation",
)
"""What may be known: one utterance's words, its voice, both; both of all turns so far; of the whole conversation."""


@dataclass(frozen=True, slots=True)
class Strengths:
    """How reliably each witness tells each bit: 0.5 tells nothing, 1 everything."""

    words_valence: float
    words_arousal: float
    prosody_valence: float
    prosody_arousal: float


@dataclass(frozen=True, slots=True)
class Model:
    """The generative model: ``witnesses [class, words, prosody]`` and the two forces that carry an emotion on."""

    witnesses: Floats
    """P(words, prosody | emotion)"""
    persistence: float
    """Weight of the speaker's own last emotion."""
    contagion: float
    """Weight of the other speaker's last emotion."""

    def transition(self) -> Float[np.ndarray, "own other next"]:
        """Return P(emotion | speaker's last, other's last), ``[5, 5, 4]``; index 4 stands for "has not spoken yet".

        ``persistence [y = own] + contagion [y = other] + (rest) / 4``, where the weight of one who has not spoken is
        spread evenly. Every emotion is therefore equally likely at every turn before anything is observed.
        """
        last = np.vstack([np.eye(CLASSES), np.full((1, CLASSES), 1 / CLASSES)])
        rest = 1 - self.persistence - self.contagion
        return self.persistence * last[:, None] + self.contagion * last[None, :] + rest / CLASSES


def make_model(mode: Mode, strengths: Strengths, persistence: float, contagion: float) -> Model:
    """Build the model of a mode.

    ``complementary``: words and voice are independent witnesses given the emotion, each a copy of it with either bit
    flipped at its own rate. ``xor``: an even draw for the words, and the voice shows the bitwise exclusive-or of
    emotion and words, both again through the flips; one alone tells nothing. ``word_prosody``: the sentence names
    words of four kinds, two of each in a random order, the voice stresses one place, and the kind that stands there,
    again through flips (both witnesses' rates combined), is the emotion; neither order nor place alone tells anything.
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
    return Model(table, persistence, contagion)


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


def draw(model: Model, conversations: int, turns: int, rng: np.random.Generator) -> Script:
    """Draw conversations from the model."""
    speakers, emotions = draw_emotions(model, conversations, turns, rng)
    return Script(speakers, emotions, *draw_witnesses(model, emotions, rng))


def draw_emotions(model: Model, conversations: int, turns: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
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


def draw_witnesses(model: Model, emotions: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the words' and the voice's class of every turn."""
    steps = model.witnesses.reshape(CLASSES, -1).cumsum(axis=1)
    chances = rng.random(emotions.size).reshape(emotions.shape)
    seen = np.zeros(emotions.shape, dtype=np.int64)
    for emotion in range(CLASSES):
        here = emotions == emotion
        seen[here] = steps[emotion].searchsorted(chances[here] * steps[emotion, -1], side="right")
    words, prosody = np.divmod(np.minimum(seen, steps.shape[1] - 1), model.witnesses.shape[2])
    return words, prosody


def flipped(emotions: Ints, flip: int) -> Ints:
    """Return emotions with the bits of class ``flip`` flipped: a renaming that leaves their probability as it is."""
    return np.asarray(_BY_BITS[_VALENCE[emotions] ^ _VALENCE[flip], _AROUSAL[emotions] ^ _AROUSAL[flip]])


def _choose(probabilities: Float[np.ndarray, "rows options"], rng: np.random.Generator) -> Ints:
    """Draw one option per row."""
    steps = probabilities.cumsum(axis=1)
    drawn = (rng.random(len(probabilities))[:, None] * steps[:, -1:] >= steps).sum(axis=1)
    return np.asarray(np.minimum(drawn, probabilities.shape[1] - 1))


def posteriors(model: Model, script: Script, view: str) -> Float[np.ndarray, "conversations turns classes"]:
    """Return P(emotion of each turn | what the view knows), by the forward and backward recursions.

    The state after a turn is the pair of both speakers' last emotions, so the recursions are exact for any order of
    speakers. The order of speakers itself is known in every view and says nothing about emotions.
    """
    witness, _, scope = view.partition("_")
    likelihood = _likelihood(model, script, witness)
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


def _likelihood(model: Model, script: Script, witness: str) -> Float[np.ndarray, "conversations turns classes"]:
    """Return P(what is seen | emotion) for words (``text``), voice (``audio``) or both (``fused``)."""
    if witness == "text":
        return np.asarray(model.witnesses.sum(axis=2).T[script.words])
    if witness == "audio":
        return np.asarray(model.witnesses.sum(axis=1).T[script.prosody])
    return np.asarray(np.moveaxis(model.witnesses, 0, -1)[script.words, script.prosody])


def _turned(state: Floats, second: Bool[np.ndarray, " conversations"]) -> Floats:
    """Swap the two speakers' axes in the conversations whose turn is the second speaker's (its own inverse)."""
    return np.where(second[:, None, None], state.transpose(0, 2, 1), state)


def accuracies(model: Model, scripts: Sequence[Script]) -> dict[str, float]:
    """Return, by view, the share of turns that the best possible decision gets right in these conversations."""
    right = dict.fromkeys(VIEWS, 0)
    for script in scripts:
        for view in VIEWS:
            best = _best(posteriors(model, script, view))
            right[view] += int((best == script.emotions).sum())
    total = sum(script.emotions.size for script in scripts)
    return {view: count / total for view, count in right.items()}


def _best(posterior: Floats) -> Ints:
    """Return the likeliest class; of equally likely ones (up to rounding) the first."""
    return np.asarray((posterior >= posterior.max(axis=-1, keepdims=True) - 1e-9).argmax(axis=-1))


def expected_accuracies(model: Model, turns: int, conversations: int, seed: int) -> Mapping[str, float]:
    """Return, by view, the best reachable accuracy in expectation.

    Views of one utterance are summed exactly over all witnesses. Views with context are the mean of the exact
    posterior's largest value over ``conversations`` conversations drawn in symbols.
    """
    joint = model.witnesses / CLASSES
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
