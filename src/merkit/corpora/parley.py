"""Parley, a synthetic corpus of spoken conversations whose best reachable accuracy is known exactly.

Every turn has a hidden emotion that persists over turns and passes between speakers. Words and prosody are unreliable
cues of it: words mainly of its valence, prosody mainly of its arousal. Either alone is weak, both are better, and the
conversation is better still, by margins that follow from the options (docs/learn/parley.md). The speech is eSpeak NG's;
the corpus tests methods, and says nothing about people.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from merkit.core.arrays import Array
from merkit.core.corpus import CorpusSpec, PublishedFeatures, RawCorpus
from merkit.core.errors import ConfigError
from merkit.core.types import Utterance
from merkit.corpora._parley_cast import STYLES, VOICES
from merkit.corpora._parley_media import record, speaker_name
from merkit.corpora._parley_model import (
    CONTINUES,
    EMOTIONS,
    EmotionModel,
    accuracies,
    expected_accuracies,
    posteriors,
)
from merkit.corpora._parley_options import LATER, ParleyOptions
from merkit.corpora._parley_plan import NOISE_STREAM, PlannedConversation, make_plan
from merkit.corpora._parley_voice import engine
from merkit.data.files import atomic_path, write_texts
from merkit.data.strict_json import parse_json

VERSION = 1
_SIMULATED = 4000
"""Conversations drawn in symbols for the expected accuracies with context: standard error about 0.1 points."""

_LOG_EVERY = 20
"""Conversations from one line of the log to the next."""

_log = logging.getLogger(__name__)


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
    plan = make_plan(options)
    utterances: list[Utterance] = []
    for number, conversation in enumerate(plan):
        times = record(conversation, raw, options, noise_seed=options.seed * 10_000 + number, release=release)
        utterances += _utterances(conversation, times)
        if (number + 1) % _LOG_EVERY == 0:
            _log.info("parley: %d of %d conversations", number + 1, len(plan))
    _write_truth(raw / "truth.parquet", model, plan)
    features = [_noise(plan, options.noise, options.seed)] if options.noise else ()
    return RawCorpus(utterances, features, facts=_facts(options, model, plan, release))


def _claim(raw: Path, content: dict[str, Any]) -> None:
    """Record the options of the corpus in its folder, or refuse a folder with other ones."""
    path = raw / "parley.json"
    if not path.exists():
        for made in ("audio", "transcripts", "alignments", "truth.parquet"):
            if (raw / made).exists():
                raise ConfigError(f"'{raw / made}' exists, and is of no parley: choose another folder")
        write_texts({path: json.dumps(content, indent=1) + "\n"})
        return
    try:
        known = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"'{path}' is not JSON. Delete '{raw}' and make the corpus again") from error
    old, new = ({**LATER, **each, **each.get("options", {})} for each in (known, content))
    differing = [
        f"{key} {old.get(key)!r}, not {value!r}"
        for key, value in new.items()
        if key != "options" and old.get(key) != value
    ]
    if differing:
        raise ConfigError(
            f"'{raw}' holds a parley made with {', '.join(differing)}. Choose another folder, or delete this one first"
        )


def _utterances(conversation: PlannedConversation, times: Sequence[tuple[float, float]]) -> list[Utterance]:
    return [
        Utterance(
            id=turn.id,
            conversation=conversation.id,
            turn=number,
            speaker=speaker_name(turn.speaker),
            text=turn.text,
            audio=conversation.audio,
            start_s=start_s,
            end_s=end_s,
            language="en",
            attributes={"emotion": turn.emotion, "split": conversation.split, "session": str(conversation.session)},
        )
        for number, (turn, (start_s, end_s)) in enumerate(zip(conversation.turns, times, strict=True))
    ]


def _noise(plan: Sequence[PlannedConversation], dim: int, seed: int) -> PublishedFeatures:
    """Draw ``[1, dim]`` standard normal numbers for every utterance from the seed and its position."""
    arrays: dict[str, Array] = {}
    for number, conversation in enumerate(plan):
        rng = np.random.default_rng([seed, number, NOISE_STREAM])
        drawn = rng.standard_normal((len(conversation.turns), 1, dim), dtype=np.float32)
        arrays |= {turn.id: array for turn, array in zip(conversation.turns, drawn, strict=True)}
    return PublishedFeatures("noise", "video", arrays)


def _write_truth(path: Path, model: EmotionModel, plan: Sequence[PlannedConversation]) -> None:
    """Write cues, manner of speaking and exact posteriors of each utterance."""
    rows: list[dict[str, Any]] = []
    for conversation in plan:
        known = {view: posteriors(model, conversation.script, view)[0] for view in ("fused", "fused_conversation")}
        for number, turn in enumerate(conversation.turns):
            voice = VOICES[turn.speaker]
            rows.append(
                {
                    "id": turn.id,
                    "emotion": turn.emotion,
                    "words_class": turn.words_class,
                    "prosody_class": turn.prosody_class,
                    "stressed_word": turn.stressed,
                    "voice": voice.name,
                    "gender": voice.gender,
                }
                | asdict(turn.manner)
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
    return {
        "espeakng_loader": release,
        "options": options.as_json() | asdict(options.strengths()),
        "continues": CONTINUES,
        "styles": {name: asdict(style) for name, style in STYLES.items()},
        "optimum": {
            "expected": expected_accuracies(model, options.turns, _SIMULATED, options.seed),
            "test": accuracies(model, [each.script for each in plan if each.split == "test"]),
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
