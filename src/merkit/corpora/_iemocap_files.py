"""The text files of IEMOCAP: ratings and transcripts of a conversation, and other files of labels."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.data.corpus.tables import read_columns
from merkit.formats.unpickling import read_pickle_safely

SIX = ("hap", "sad", "neu", "ang", "exc", "fru")
"""Labels in the order of their class numbers in the shared feature files."""

ID = re.compile(r"(Ses0(?P<session>[1-5])[FM]_(?P<script>script\d\d|impro\d\d)\w*)_(?P<who>[FM])\d{3}")
"""An utterance's id: its conversation, then who speaks (F or M) and a number of three digits."""

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_RATED = re.compile(
    rf"\[\s*{_NUMBER}\s*-\s*{_NUMBER}\s*\]\s+(\S+)\s+(\S+)\s+\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]\s*"
)
_VOTE = re.compile(r"C-([EFM])\d+:\s*([^()]*)")
_SPOKEN = re.compile(r"(\S+)\s+\[[\d.\s-]+\]\s*:\s*(.*)")


@dataclass
class Rating:
    """The ratings of one utterance in ``EmoEvaluation``; times in seconds from the start of the conversation."""

    id: str
    start_s: float
    end_s: float
    emotion: str
    """Label on which most raters agreed, ``xxx`` where they did not."""
    valence: float
    arousal: float
    """Called activation in the release."""
    dominance: float
    votes: Counter[str] = field(default_factory=Counter)
    """Labels of outside raters, who may give several each."""
    self_votes: Counter[str] = field(default_factory=Counter)
    """Labels of the actors themselves, which do not count for ``emotion``."""


def read_ratings(path: Path) -> tuple[list[Rating], list[str]]:
    """Return the ratings of one conversation in the order of the file, and the lines of ratings that cannot be read."""
    ratings: list[Rating] = []
    unreadable: list[str] = []
    for line in _lines(path):  # the first explains the format and begins with a percent sign
        rated = _RATED.fullmatch(line)
        if rated and ID.fullmatch(rated[3]):
            start, end, valence, arousal, dominance = (float(rated[number]) for number in (1, 2, 5, 6, 7))
            ratings.append(Rating(rated[3], start, end, rated[4], valence, arousal, dominance))
        elif line.startswith("[") or "\tSes0" in line:
            unreadable.append(line)
        elif ratings and (vote := _VOTE.match(line)):
            counter = ratings[-1].votes if vote[1] == "E" else ratings[-1].self_votes
            counter.update(label.strip() for label in vote[2].split(";") if label.strip())
    return ratings, unreadable


def read_dialog(path: Path) -> tuple[dict[str, str], int, int]:
    """Return texts by id, the number of lines whose id is that of no utterance (``XX``), and of lines without an id."""
    texts: dict[str, str] = {}
    unrated = nameless = 0
    for line in _lines(path):
        spoken = _SPOKEN.fullmatch(line)
        if not spoken:
            nameless += 1
        elif ID.fullmatch(spoken[1]):
            texts[spoken[1]] = spoken[2].strip()
        else:
            unrated += 1
    return texts, unrated, nameless


def read_labels(path: Path) -> dict[str, str]:
    """Return labels as the release abbreviates them, by utterance id.

    ``path`` is a table with the columns ``id`` and ``emotion``, or a feature file that papers on conversations share: a
    pickle of a tuple that begins with utterance ids, speakers and class numbers, each by conversation.

    Raises:
        MerkitError: The file cannot be read or is neither, an id occurs twice, or a label is unknown.
    """
    if path.suffix.lower() in (".pkl", ".pickle"):
        content = read_pickle_safely(path)
        known = dict(enumerate(SIX))
        try:
            ids, numbers = content[0], content[2]
            pairs = [
                (str(name), known[int(number)])
                for conversation, names in ids.items()
                for name, number in zip(names, numbers[conversation], strict=True)
            ]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MerkitError(
                f"{path}: expected a tuple that begins with utterance ids, speakers and class numbers 0 to "
                f"{len(SIX) - 1} by conversation, as in IEMOCAP_features.pkl; or give a table with id and emotion"
            ) from error
    else:
        columns = read_columns(path, strings=("id", "emotion"))
        if missing := [name for name in ("id", "emotion") if name not in columns]:
            raise MerkitError(f"{path}: no column {' and '.join(missing)}, found {', '.join(columns) or 'none'}")
        pairs = list(zip(columns["id"], columns["emotion"], strict=True))
    for name, label in pairs:
        if label not in SIX:
            raise MerkitError(f"{path}: '{name}' has label '{label}', expected {', '.join(SIX)}; leave others out")
    labels = dict(pairs)
    if len(labels) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise MerkitError(f"{path}: id '{twice}' occurs twice, expected one label for each utterance")
    return labels


def as_json(votes: Counter[str]) -> str:
    """Return vote counts as JSON, most votes first."""
    return json.dumps(dict(sorted(votes.items(), key=lambda item: (-item[1], item[0]))), ensure_ascii=False)


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
