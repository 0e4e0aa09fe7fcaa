"""Parley's plan: the emotions, words and manner of speaking of every conversation, before any sound is made.

A plan depends on the options alone and takes milliseconds, so that a single recording can be made again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from merkit.corpora._parley_cast import VOICES, draw_manner
from merkit.corpora._parley_model import (
    CLASSES,
    EMOTIONS,
    ORDERS,
    EmotionModel,
    Script,
    draw_cues,
    draw_emotions,
    flipped,
)
from merkit.corpora._parley_options import ParleyOptions
from merkit.corpora._parley_text import MATTERS, draw_judgement, draw_list, draw_sentence
from merkit.corpora._parley_voice import Manner

TURNS_SPREAD = 1 / 6
"""The number of turns is uniform between (1 - this) and (1 + this) times the mean."""
TEST_SHARE, VALID_SHARE = 0.3, 0.1
"""Of the sessions; at least one each."""
HESITATION_MS = (200, 1500)
_SYMBOLS, _WORDS, _VOICE, NOISE_STREAM, _HESITATION = range(5)
"""Separate streams of random numbers: a change to one leaves the others unchanged."""


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """An utterance before it is spoken."""

    id: str
    speaker: int
    """Index into ``VOICES``."""
    emotion: str
    words_class: str
    prosody_class: str
    text: str
    manner: Manner
    stressed: int | None
    pause_s: float
    """Silence before it."""
    hesitations_ms: tuple[int, ...] = ()
    """Silence before each word; empty: none."""


@dataclass(frozen=True, slots=True)
class PlannedConversation:
    """A conversation before it is spoken, and the symbols that it was drawn from."""

    id: str
    session: int
    """Counted from 1."""
    split: str
    turns: tuple[PlannedTurn, ...]
    script: Script

    @property
    def audio(self) -> str:
        """Path of its recording below the corpus' folder."""
        return f"audio/{self.id}.wav"

    def fingerprint(self, **settings: Any) -> str:
        """Return a hash of everything that its recording depends on."""
        voices = [asdict(VOICES[turn.speaker]) for turn in self.turns]
        turns = [asdict(turn) for turn in self.turns]
        for turn in turns:  # so that recordings without hesitation keep the hash that they had before the option
            if not any(turn["hesitations_ms"]):
                del turn["hesitations_ms"]
        content = {"turns": turns, "voices": voices, **settings}
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def splits(sessions: int) -> list[str]:
    """Return the split of each session: the last ones are test, those before them valid, all others train."""
    test = max(1, round(TEST_SHARE * sessions))
    valid = max(1, round(VALID_SHARE * sessions))
    return ["train"] * (sessions - test - valid) + ["valid"] * valid + ["test"] * test


def make_plan(options: ParleyOptions) -> list[PlannedConversation]:
    """Plan all conversations; they go to the sessions in turn, so that numbers differ by one at most."""
    split_of = splits(options.speakers // 2)
    counts = {split: np.zeros(CLASSES, dtype=np.int64) for split in split_of}
    model = options.model()
    plan = []
    for number in range(options.conversations):
        session = number % len(split_of)
        split, name = split_of[session], f"c{number:04d}"
        rng = np.random.default_rng([options.seed, number, _SYMBOLS])
        script = _balanced_script(model, options.turns, counts[split], rng)
        turns = _plan_turns(options, name, number, session, script)
        plan.append(PlannedConversation(name, session + 1, split, turns, script))
    return plan


def _balanced_script(
    model: EmotionModel, turns: int, counts: Int[np.ndarray, " classes"], rng: np.random.Generator
) -> Script:
    """Draw a conversation and permute its emotions so that the class counts of its split are most even.

    ``counts`` is updated. The permutation keeps the probability of a conversation, so each is still a draw from the
    model; without it the few, persistent emotions would make the labels of a split uneven.
    """
    spread = int(turns * TURNS_SPREAD)
    length = int(rng.integers(turns - spread, turns + spread + 1))
    speakers, emotions = draw_emotions(model, 1, length, rng)

    def unevenness(flip: int) -> int:
        return int(((counts + np.bincount(flipped(emotions, flip)[0], minlength=CLASSES)) ** 2).sum())

    emotions = flipped(emotions, min(rng.permutation(CLASSES).tolist(), key=unevenness))
    counts += np.bincount(emotions[0], minlength=CLASSES)
    return Script(speakers, emotions, *draw_cues(model, emotions, rng))


def _plan_turns(
    options: ParleyOptions, name: str, number: int, session: int, script: Script
) -> tuple[PlannedTurn, ...]:
    words, voice, silence = (
        np.random.default_rng([options.seed, number, stream]) for stream in (_WORDS, _VOICE, _HESITATION)
    )
    matter = int(words.integers(len(MATTERS)))
    symbols = (script.speakers, script.emotions, script.words, script.prosody)
    columns = zip(*(row[0].tolist() for row in symbols), strict=True)
    planned = []
    for turn, (who, emotion, w, a) in enumerate(columns):
        speaker = 2 * session + who
        if options.mode == "word_prosody":
            text, stressed = draw_list(ORDERS[w], a, words)
            words_class, prosody_class, style = "-".join(map(str, ORDERS[w])), f"place {a}", "neutral"
        else:
            draw = draw_judgement if options.mode == "xor" else draw_sentence
            text, stressed = draw(EMOTIONS[w], matter, words), None
            words_class, prosody_class, style = EMOTIONS[w], EMOTIONS[a], EMOTIONS[a]
        planned.append(
            PlannedTurn(
                id=f"{name}_u{turn:03d}",
                speaker=speaker,
                emotion=EMOTIONS[emotion],
                words_class=words_class,
                prosody_class=prosody_class,
                text=text,
                manner=draw_manner(style, VOICES[speaker], voice),
                stressed=stressed,
                pause_s=round(float(voice.uniform(0.25, 0.9)), 3),
                hesitations_ms=_draw_hesitations(len(text.split()), options.hesitation, silence),
            )
        )
    return tuple(planned)


def _draw_hesitations(words: int, share: float, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw the silence before each word: none before the first, some before that share of the others."""
    if not share:
        return ()
    lengths = np.where(rng.random(words) < share, rng.integers(*HESITATION_MS, size=words), 0)
    return (0, *lengths[1:].tolist())
