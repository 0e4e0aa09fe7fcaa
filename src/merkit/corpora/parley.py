"""Parley, a synthetic corpus of spoken conversations whose best reachable accuracy is known exactly.

Every turn has a hidden emotion that persists over turns and passes between speakers. Words and prosody are unreliable
cues of it: words mainly of its valence, prosody mainly of its arousal. Either alone is weak, both are better, and the
conversation is better still, by margins that follow from the options (docs/learn/parley.md). The speech is eSpeak NG's;
the corpus tests methods, and says nothing about people.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pyarrow
import pyarrow.parquet
from pydantic import Field, model_validator

from merkit.core.corpus import CorpusOptions, CorpusSpec, PublishedFeatures, RawCorpus
from merkit.core.encoder import Array
from merkit.core.errors import ConfigError
from merkit.core.types import Utterance
from merkit.corpora._parley_cast import STYLES, VOICES
from merkit.corpora._parley_media import Recording, record, speaker_name
from merkit.corpora._parley_model import (
    CONTINUES,
    EMOTIONS,
    EmotionModel,
    Mode,
    Strengths,
    accuracies,
    expected_accuracies,
    make_model,
    posteriors,
)
from merkit.corpora._parley_plan import NOISE_STREAM, PlannedConversation, make_plan, scripts
from merkit.corpora._parley_voice import engine
from merkit.data.files import atomic_path

VERSION = 1
_SIMULATED = 4000
"""Conversations drawn in symbols for the expected accuracies with context: standard error about 0.1 points."""
_RECORD = "parley.json"

_LATER = {"noise": 0, "hesitation": 0.0}
"""Options added later, with the values that describe corpora made before."""

_LOG_EVERY = 20
"""Conversations from one line of the log to the next."""

_log = logging.getLogger(__name__)

Strength = Annotated[float, Field(ge=0.5, le=1)]
_STRENGTHS = {
    "complementary": Strengths(words_valence=0.88, words_arousal=0.65, prosody_valence=0.65, prosody_arousal=0.88),
    "xor": Strengths(words_valence=0.95, words_arousal=0.95, prosody_valence=0.95, prosody_arousal=0.95),
    "word_prosody": Strengths(words_valence=0.95, words_arousal=0.95, prosody_valence=0.95, prosody_arousal=0.95),
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
    def _forces_fit(self) -> Self:
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
        """Return the options as JSON values, without those of ``_LATER`` that change nothing."""
        options = self.model_dump(mode="json")
        return {name: value for name, value in options.items() if name not in _LATER or value != _LATER[name]}

    def strengths(self) -> Strengths:
        """Return the four strengths; the mode's where an option is ``None``."""
        own = _STRENGTHS[self.mode]
        return Strengths(
            words_valence=own.words_valence if self.words_valence is None else self.words_valence,
            words_arousal=own.words_arousal if self.words_arousal is None else self.words_arousal,
            prosody_valence=own.prosody_valence if self.prosody_valence is None else self.prosody_valence,
            prosody_arousal=own.prosody_arousal if self.prosody_arousal is None else self.prosody_arousal,
        )

    def model(self) -> EmotionModel:
        """Return the generative model that these options describe."""
        return make_model(self.mode, self.strengths(), self.persistence, self.contagion)


def read(raw: Path, options: ParleyOptions) -> RawCorpus:
    """Make the corpus in ``raw`` and return it; files that are complete are kept.

    Writes ``parley.json``, ``truth.parquet`` (cues and exact posteriors, which are no input), and for each conversation
    a recording, a transcript and an alignment.

    Raises:
        ConfigError: The folder holds a parley made with other options.
        MerkitError: The extra ``demo`` is missing, or the folder cannot be written to.
    """
    release = engine()[2]
    _claim(raw, {"version": VERSION, "espeakng_loader": release, "options": options.as_json()})
    model = options.model()
    plan = make_plan(
        options.mode,
        model,
        conversations=options.conversations,
        turns=options.turns,
        speakers=options.speakers,
        seed=options.seed,
        hesitation=options.hesitation,
    )
    utterances: list[Utterance] = []
    for number, conversation in enumerate(plan):
        recording = record(
            conversation,
            raw,
            snr_db=options.snr_db,
            channels=options.channels,
            noise_seed=options.seed * 10_000 + number,
            release=release,
        )
        utterances.extend(_utterances(conversation, recording))
        if (number + 1) % _LOG_EVERY == 0:
            _log.info("parley: %d of %d conversations", number + 1, len(plan))
    _write_truth(raw / "truth.parquet", model, plan)
    features = [_noise(plan, options.noise, options.seed)] if options.noise else ()
    return RawCorpus(utterances, features, facts=_facts(options, model, plan, release))


def _claim(raw: Path, content: dict[str, Any]) -> None:
    """Record the options of the corpus in its folder, or refuse a folder with other ones."""
    path = raw / _RECORD
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"'{path}' is not JSON. Delete '{raw}' and make the corpus again") from error
    old, new = ({**_LATER, **each, **each.get("options", {})} for each in (known, content))
    differing = [
        f"{key} {old.get(key)!r}, not {value!r}"
        for key, value in new.items()
        if key != "options" and old.get(key) != value
    ]
    if differing:
        raise ConfigError(
            f"'{raw}' holds a parley made with {', '.join(differing)}. Choose another folder, or delete this one first"
        )


def _utterances(conversation: PlannedConversation, recording: Recording) -> list[Utterance]:
    return [
        Utterance(
            id=turn.id,
            conversation=conversation.id,
            turn=number,
            speaker=speaker_name(turn.speaker),
            text=turn.text,
            audio=recording.audio,
            start_s=start_s,
            end_s=end_s,
            language="en",
            attributes={"emotion": turn.emotion, "split": conversation.split, "session": str(conversation.session)},
        )
        for number, (turn, (start_s, end_s)) in enumerate(zip(conversation.turns, recording.times, strict=True))
    ]


def _noise(plan: Sequence[PlannedConversation], width: int, seed: int) -> PublishedFeatures:
    """Draw ``[1, width]`` standard normal numbers for every utterance from the seed and its position."""
    arrays: dict[str, Array] = {}
    for number, conversation in enumerate(plan):
        rng = np.random.default_rng([seed, number, NOISE_STREAM])
        drawn = rng.standard_normal((len(conversation.turns), 1, width), dtype=np.float32)
        arrays |= {turn.id: array for turn, array in zip(conversation.turns, drawn, strict=True)}
    return PublishedFeatures("noise", "video", arrays)


def _write_truth(path: Path, model: EmotionModel, plan: Sequence[PlannedConversation]) -> None:
    """Write cues, manner of speaking and exact posteriors of each utterance."""
    rows: list[dict[str, Any]] = []
    for conversation in plan:
        known = {view: posteriors(model, conversation.script, view)[0] for view in ("fused", "fused_conversation")}
        for number, turn in enumerate(conversation.turns):
            voice, manner = VOICES[turn.speaker], turn.manner
            rows.append(
                {
                    "id": turn.id,
                    "emotion": turn.emotion,
                    "words_class": turn.words_class,
                    "prosody_class": turn.prosody_class,
                    "stressed_word": turn.stressed,
                    "voice": voice.name,
                    "gender": voice.gender,
                    "pitch": manner.pitch,
                    "pitch_range": manner.pitch_range,
                    "rate_wpm": manner.rate_wpm,
                    "volume": manner.volume,
                }
                | {
                    f"{view}_{emotion}": float(posterior[number, index])
                    for view, posterior in known.items()
                    for index, emotion in enumerate(EMOTIONS)
                }
            )
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)


def _facts(
    options: ParleyOptions, model: EmotionModel, plan: Sequence[PlannedConversation], release: str
) -> dict[str, Any]:
    """Return the parameters and the best reachable accuracies."""
    strengths = options.strengths()
    given = options.as_json() | {name: getattr(strengths, name) for name in Strengths.__slots__}
    return {
        "espeakng_loader": release,
        "options": given,
        "continues": CONTINUES,
        "styles": {name: {key: getattr(style, key) for key in style.__slots__} for name, style in STYLES.items()},
        "optimum": {
            "expected": expected_accuracies(model, options.turns, _SIMULATED, options.seed),
            "test": accuracies(model, scripts(plan, "test")),
        },
    }


SPEC = CorpusSpec(
    name="parley",
    version=VERSION,
    summary="Synthetic spoken conversations with known best accuracy (eSpeak NG voices, made by code)",
    options=ParleyOptions,
    read=read,
    licence="Apache-2.0",
    makes_media=True,
)
