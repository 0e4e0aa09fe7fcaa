"""How near to the truth PocketSphinx finds the boundaries of words: on parley, whose speech is made with its times.

Run `python benchmarks/alignment.py`; it makes parley with its default options in a temporary folder (or reads the
folder of a prepared one), aligns the utterances of its test part, and prints JSON. It takes a minute on one core.

A word has two boundaries, its start and its end. Reported are the shares of boundaries, and of words with both, that
lie within 50 ms of the truth, and the median and the 90th percentile of the absolute error. Words that the synthesiser
speaks as one ("of the") count as one, from the first's start to the last's end. Utterances that the aligner refuses are
counted and are in no share. Where errors come from is told by the word's place in the utterance, for starts that follow
a pause of at least 80 ms, and for words that begin with p, t, k or tʃ: the silent closure in front of such a sound
belongs to the word for PocketSphinx, and to the pause between the words for the synthesiser.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.aligners.pocketsphinx import SPEC, PocketSphinxConfig
from merkit.aligners.segments.formats import Tiers, read_json
from merkit.aligners.segments.words import spoken_words
from merkit.core.alignment import Interval
from merkit.core.errors import UnalignableError
from merkit.core.lookup import load
from merkit.core.types import Turn
from merkit.data.corpus.manifest import Manifest, read_manifest
from merkit.data.corpus.prepare import prepare

NEAR_S = 0.05
PAUSE_S = 0.08
CLOSED = ("p", "t", "k")
"""IPA; tʃ begins with t."""


@dataclass(frozen=True, slots=True)
class Slip:
    """By how much a word was found too late (below 0: too early), and what may be the reason."""

    start_s: float
    end_s: float
    first: bool
    """Whether it is the first word of its utterance; ``last``: whether it is the last one."""
    last: bool
    after_pause: bool
    closed: bool
    """Whether it begins with a closure."""


def slips(truth: Tiers, found: Sequence[Interval]) -> list[Slip]:
    """Return the errors of an utterance, word by word.

    Args:
        truth: Its words as they were spoken, and its phones.
        found: Its words as they were found; those of one true word count as one.
    """
    words, rows, place = truth["word"], [], 0
    for number, word in enumerate(words):
        own = found[place : place + len(spoken_words(word.label))]
        place += len(own)
        phone = next(each.label for each in truth["phone"] if word.start_s <= each.start_s < word.end_s)
        rows.append(
            Slip(
                start_s=own[0].start_s - word.start_s,
                end_s=own[-1].end_s - word.end_s,
                first=number == 0,
                last=number == len(words) - 1,
                after_pause=number > 0 and word.start_s - words[number - 1].end_s >= PAUSE_S,
                closed=phone.startswith(CLOSED),
            )
        )
    if place != len(found):
        raise ValueError(f"{len(found)} words found, {place} expected: the truth is of another text")
    return rows


def figures(rows: Sequence[Slip]) -> dict[str, Any]:
    """Return shares in percent and errors in milliseconds of at least one word."""
    starts, ends = (np.array([getattr(row, name) for row in rows]) for name in ("start_s", "end_s"))
    errors = np.abs(np.concatenate([starts, ends]))
    near = np.abs(np.stack([starts, ends])) <= NEAR_S
    return {
        "words": len(rows),
        "boundaries_within_50_ms": _rounded(100 * near.mean()),
        "starts_within_50_ms": _rounded(100 * near[0].mean()),
        "ends_within_50_ms": _rounded(100 * near[1].mean()),
        "words_with_both_within_50_ms": _rounded(100 * near.all(axis=0).mean()),
        "median_error_ms": _rounded(1000 * np.median(errors)),
        "90th_percentile_error_ms": _rounded(1000 * np.percentile(errors, 90)),
        "median_signed_error_of_starts_ms": _rounded(1000 * np.median(starts)),
        "median_signed_error_of_ends_ms": _rounded(1000 * np.median(ends)),
    }


def sources(rows: Sequence[Slip]) -> dict[str, Any]:
    """Return the figures of words of a kind; kinds without a word are left out."""
    kinds = {
        "first word": [row for row in rows if row.first],
        "inner word": [row for row in rows if not (row.first or row.last)],
        "last word": [row for row in rows if row.last],
        "start after a pause": [row for row in rows if row.after_pause],
        "start with p, t, k, tʃ": [row for row in rows if row.closed],
        "any other start": [row for row in rows if not (row.after_pause or row.closed)],
    }
    return {name: figures(chosen) for name, chosen in kinds.items() if chosen}


def measure(manifest: Manifest, utterances: int | None) -> dict[str, Any]:
    """Align utterances of the test part (``None``: all), evenly spread, and compare them with the truth."""
    part = {utterance.id for utterance in manifest.utterances if utterance.attributes["split"] == "test"}
    turns = [turn for turn in manifest.turns() if turn.utterance.id in part]
    if utterances is not None:
        chosen = np.linspace(0, len(turns) - 1, min(utterances, len(turns))).round().astype(int)
        turns = [turns[number] for number in chosen]
    truth: dict[str, Tiers] = {}
    for path in (manifest.root / "alignments").glob("*.json"):
        truth |= read_json(path)
    aligner = SPEC.build(PocketSphinxConfig())
    rows: list[Slip] = []
    refused: list[tuple[Turn, str]] = []
    for turn in turns:
        try:
            found = aligner.align(turn)["word"]
        except UnalignableError as error:
            refused.append((turn, str(error)))
        else:
            rows += slips(truth[turn.utterance.id], found)
    return {
        "options": manifest.info.facts["options"],
        "aligner": dict(aligner.fingerprint()),
        "utterances": len(turns),
        **_told(refused, truth),
        **figures(rows),
        "sources": sources(rows),
    }


def _told(refused: Sequence[tuple[Turn, str]], truth: Mapping[str, Tiers]) -> dict[str, Any]:
    """Return how many utterances and words the aligner refused, and why; what is quoted in a reason is left out."""
    reasons = Counter(why if not why.startswith("'") else why[why.index("'", 1) + 1 :].strip() for _, why in refused)
    return {
        "utterances_unaligned": len(refused),
        "words_unaligned": sum(len(truth[turn.utterance.id]["word"]) for turn, _ in refused),
        "reasons": dict(reasons),
    }


def _rounded(value: float) -> float:
    return round(float(value), 1)


def made_in(folder: Path) -> Manifest:
    """Make parley with its default options."""
    spec = load("corpora", "parley")
    return prepare(spec, folder, folder, spec.options(), False)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of a prepared parley; by default one is made")
    parser.add_argument("--utterances", type=int, help="so many of the test part, evenly spread; by default all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = made_in(Path(folder)) if arguments.data is None else read_manifest(arguments.data)
        print(json.dumps(measure(manifest, arguments.utterances), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
