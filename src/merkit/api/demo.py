"""The demonstration: a call and its timeline, baselines and systems trained on a synthetic corpus, and a report."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merkit.api.corpora import prepare
from merkit.api.training import train_and_score
from merkit.core.lookup import load
from merkit.core.progress import ProgressCallback
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest
from merkit.evaluation.true_labels import true_labels
from merkit.experiments.recipe_reader import read_recipe
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.writing import made_of, outputs_of, write_analysis
from merkit.reporting.report import check_report, write_report
from merkit.timeline.analysis import Analysis

WORDS, VOICE, BOTH = "single/parley-text", "single/parley-audio", "bc_lstm/parley"
"""The recipes whose models label the call: from its text, from its sound, from both in the course of conversation."""
RECIPES = ("majority/parley", "bag_of_words/parley", WORDS, VOICE, "concat/parley", BOTH)
"""Baselines first."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One call of the test split with its true labels and the analyses of three models, segment by segment."""

    truth: Sequence[str]
    words: Analysis
    voice: Analysis
    both: Analysis


@dataclass(frozen=True)
class Demonstration:
    """Results of the demonstration."""

    scores: list[dict[str, Any]]
    """Of each run, baselines first."""
    report: Path
    best: float
    """The best accuracy that any system can reach on the test split, as the corpus was made."""
    call: Call
    page: Path
    """The timeline of the call, with the truth beside the predictions."""
    checkpoint: Path
    """Of the model that reads both text and sound."""


def run_demo(folder: Path, progress: ProgressCallback | None) -> Demonstration:
    """Run the demonstration in a folder; steps that are finished there are kept."""
    check_report(folder)
    data = folder / "data"
    _log.info("making the synthetic corpus 'parley' in %s", data)
    manifest = prepare("parley", data)
    runs = {name: folder / "runs" / name.replace("/", "-") for name in RECIPES}
    scores = []
    for name, run in runs.items():
        recipe = read_recipe(name)
        scores.append(train_and_score(recipe, data, run, progress=progress))
        _log.info("trained %s", name)
    report = write_report(list(runs.values()), folder, data=data)
    checkpoints = {name: next(run.glob("fold-*/seed-0/checkpoint")) for name, run in runs.items()}
    call = _analyze_call(manifest, checkpoints)
    recording = call.both.recording
    outputs = outputs_of(folder / "timeline", Path(recording.stem))
    key = made_of(recording, _transcript(manifest, recording.stem), checkpoints[BOTH], {"channels": "mix"})
    write_analysis(call.both, outputs, key, audio="embed", truth=call.truth)
    best = float(manifest.info.facts["optimum"]["test"]["fused_conversation"])
    return Demonstration(scores, report.html, best, call, outputs.record.with_suffix(".html"), checkpoints[BOTH])


def most_varied_call(utterances: Sequence[Utterance], labels: Mapping[str, str]) -> list[Utterance]:
    """Return the utterances of the conversation with the most distinct labels, the first of equals."""
    conversations: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        conversations[utterance.conversation].append(utterance)
    return max(conversations.values(), key=lambda turns: len({labels[turn.id] for turn in turns}))


def _analyze_call(manifest: Manifest, checkpoints: Mapping[str, Path]) -> Call:
    spec = load("protocols", "parley")
    protocol = spec.build(spec.options(), False)
    labels = {id_: protocol.labels[number] for id_, number in true_labels(protocol, manifest.utterances).items()}
    turns = most_varied_call([u for u in manifest.utterances if u.attributes["split"] == "test"], labels)
    assert turns[0].audio_path is not None
    recording = manifest.media_path(turns[0].audio_path)
    transcript = _transcript(manifest, turns[0].conversation)
    analyses = {
        name: analyze_recording(Recognizer.load(checkpoints[name]), recording, transcript, str(checkpoints[name]))
        for name in (WORDS, VOICE, BOTH)
    }
    truth = [labels[turn.id] for turn in sorted(turns, key=lambda turn: turn.start_s or 0.0)]
    return Call(truth, analyses[WORDS], analyses[VOICE], _with_sources(analyses))


def _with_sources(analyses: Mapping[str, Analysis]) -> Analysis:
    """Return the analysis of both, which keeps beside each prediction what words and voice say alone."""
    both = analyses[BOTH]
    segments = []
    for segment, words, voice in zip(both.segments, analyses[WORDS].segments, analyses[VOICE].segments, strict=True):
        alone = {"words": words.prediction, "voice": voice.prediction}
        known = {name: prediction for name, prediction in alone.items() if prediction is not None}
        prediction = None if segment.prediction is None else replace(segment.prediction, sources=known)
        segments.append(replace(segment, prediction=prediction))
    return replace(both, segments=segments)


def _transcript(manifest: Manifest, conversation: str) -> Path:
    return manifest.root / "transcripts" / f"{conversation}.csv"
