"""The demonstration: a synthetic corpus, floors and systems on it, a report, and one analysed call."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.api.training import train_and_score
from merkit.core.lookup import load
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.corpus.prepare import prepare
from merkit.experiments.recipe import read_recipe
from merkit.experiments.shipped import recipes_folder
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import Analysis, analyze_recording, write_analysis
from merkit.reporting.report import write_report

RECIPES = (
    "majority/parley",
    "bag_of_words/parley",
    "single/parley-text",
    "single/parley-audio",
    "concat/parley",
    "bc_lstm/parley",
)
"""Floors first; the last one analyses the call."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration left behind."""

    scores: list[dict[str, Any]]
    """One run's each, floors first."""
    report: Path
    analysis: Analysis
    analysis_file: Path


def run_demo(folder: Path, progress: ProgressCallback | None) -> Demonstration:
    """Run the demonstration in a folder; what is already there is not done again."""
    spec = load("corpora", "parley")
    data = folder / "data"
    _log.info("making the synthetic corpus 'parley' in %s", data)
    prepare(spec, data, data, spec.options(), False)
    runs, scores = [], []
    for name in RECIPES:
        run = folder / "runs" / name.replace("/", "-")
        _log.info("training %s", name)
        scores.append(train_and_score(read_recipe(recipes_folder() / f"{name}.toml"), data, run, progress=progress))
        runs.append(run)
    report = write_report(runs, folder, data=data)
    checkpoint = next(runs[-1].glob("fold-*/seed-0/checkpoint"))
    call, transcript = _test_call(read_manifest(data))
    analysis = analyze_recording(Recognizer.load(checkpoint), call, transcript, str(checkpoint))
    written, _ = write_analysis(analysis, folder / "analysis")
    return Demonstration(scores, report.html, analysis, written)


def _test_call(manifest: Manifest) -> tuple[Path, Path]:
    """Return the first recording of the test part and its transcript with times."""
    first = next(u for u in manifest.utterances if u.attributes["split"] == "test" and u.audio_path is not None)
    assert first.audio_path is not None
    recording = manifest.media_path(first.audio_path)
    return recording, manifest.root / "transcripts" / f"{first.conversation}.csv"
