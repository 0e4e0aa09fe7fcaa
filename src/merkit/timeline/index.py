"""The index of a folder of timelines: one page that finds recordings, and the utterances in them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from merkit.core.characters import html_text
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.data.files import write_texts
from merkit.io.outputs import KEY, read_record
from merkit.timeline import fragments
from merkit.timeline.analysis import Analysis
from merkit.timeline.charts import patterns
from merkit.timeline.document import VERSION
from merkit.timeline.labels import NONE, UNSURE, label_styles
from merkit.timeline.page import GENERATOR, json_text, policy
from merkit.timeline.reading import read_timeline
from merkit.timeline.view import UNKNOWN_SPEAKER, clock, labels_of

INDEX = "index.html"
_MOST_TEXT = 8_000_000
"""Characters of all utterances that the page holds to be searched; more, and only names of recordings are."""


@dataclass(frozen=True)
class _Entry:
    analysis: Analysis
    page: str
    """Its address, relative to the index."""
    name: str


def check_index(out: Path, names: Iterable[Path]) -> Path | None:
    """Return where the index of a folder goes; ``None``: a recording that is called ``index`` has its page there.

    Raises:
        MerkitError: Another file is there.
    """
    path = out / INDEX
    if Path(INDEX).with_suffix("") in names or read_record(path.with_suffix(".json")) is not None:
        return None
    if path.exists() and GENERATOR not in path.read_text(encoding="utf-8", errors="replace"):
        raise MerkitError(f"'{path}' exists, and merkit did not write it: move it away, or choose another --out")
    return path


def write_index(path: Path) -> None:
    """Write the index of all timelines below a folder that have a page.

    Raises:
        MerkitError: As `write_texts`.
    """
    entries = list(_entries(path.parent))
    write_texts({path: index_page(entries)})


def index_page(entries: Sequence[_Entry]) -> str:
    """Return the page; it loads nothing, and its links lead to the pages of recordings and to places in them."""
    labels = labels_of([entry.analysis for entry in entries])
    styles = label_styles(labels)
    speakers = sorted({segment.speaker for entry in entries for segment in entry.analysis.segments})
    texts = sum(len(segment.text or "") for entry in entries for segment in entry.analysis.segments) <= _MOST_TEXT
    rows = "\n".join(_row(entry, number, styles) for number, entry in enumerate(entries))
    data = {
        "labels": labels,
        "speakers": speakers,
        "recordings": [_data(each, labels, speakers, texts) for each in entries],
    }
    script = fragments.resource("index.js")
    who = "".join(
        f'<option value="{at}">{html_text(name or UNKNOWN_SPEAKER)}</option>' for at, name in enumerate(speakers)
    )
    which = "".join(f'<option value="{at}">{html_text(label)}</option>' for at, label in enumerate(labels))
    heads = (("name", "Recording"), ("duration", "Length"), ("utterances", "Utterances"), ("unsure", "Unsure"))
    columns = "".join(
        f'<th scope="col"{"" if name == "name" else " class=n"}><button type="button" data-sort="{name}">{title}'
        f"</button></th>"
        for name, title in heads
    )
    used = dict.fromkeys(label for entry in entries for label in entry.analysis.summary.recording.labels_ms)
    keys = "".join(
        f"<li>{fragments.key(f'l{styles[label]}')}{html_text(label)}</li>" for label in labels if label in used
    )
    keys += f"<li>{fragments.key(UNSURE)}unsure</li><li>{fragments.key(NONE)}no label</li>"
    found = "words, names of recordings" if texts else "names of recordings"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{policy(script)}{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{number_of(len(entries), 'recording')}: emotions over time</title>\n"
        f"<style>\n{fragments.style()}</style>\n"
        f'</head>\n<body class="mk">\n{patterns()}\n<header><h1>{number_of(len(entries), "recording")}</h1>'
        f"</header>\n<main>"
        '<section class="card" aria-label="Recordings"><div class="filters">'
        f'<label>Search <input type="search" id="search" placeholder="{found}"></label>'
        f'<label>Speaker <select id="who"><option value="">all</option>{who}</select></label>'
        f'<label>Label <select id="which"><option value="">all</option>{which}<option value="{UNSURE}">unsure</option>'
        f'<option value="{NONE}">no label</option></select></label>'
        '<label>At least <input type="range" id="sure" min="0" max="95" step="5" value="0">'
        '<output id="least" for="sure">0 %</output></label><span class="small" id="count" role="status"></span></div>'
        f'<ul class="legend">{keys}</ul><div class="scroll" tabindex="0" role="region" aria-label="Table of '
        f'recordings">'
        f'<table class="index"><thead><tr>{columns}<th scope="col">Labels by time</th></tr></thead>'
        f'<tbody id="rows">\n{rows}\n</tbody></table></div></section></main>\n'
        f'<script type="application/json" id="data">{json_text(data)}</script>\n<script>{script}</script>\n'
        f"</body>\n</html>\n"
    )


def _entries(folder: Path) -> Iterator[_Entry]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(at) / name
            if path.suffix != ".json":
                continue
            record = read_record(path)
            page = path.with_suffix(".html")
            if record is None or record.get("schema") != VERSION or page.name not in record[KEY]["files"]:
                continue
            try:
                analysis = read_timeline(record)
            except MerkitError:  # edited; its own page is still as it was
                continue
            relative = page.relative_to(folder)
            yield _Entry(analysis, quote(os.fsencode(relative)), str(relative.with_suffix("")))


def _row(entry: _Entry, number: int, styles: Mapping[str, int]) -> str:
    talk = entry.analysis.summary.recording
    total = fragments.utterances_ms(entry.analysis)
    unsure = 100 * talk.unsure_ms / total if total else 0.0
    return (
        f'<tr data-n="{number}"><th scope="row"><a href="{html_text(entry.page)}">{html_text(entry.name)}</a>'
        f'<ul class="turns found"></ul></th><td class="n">{clock(entry.analysis.duration_s)}</td>'
        f'<td class="n">{talk.utterances}</td><td class="n">{unsure:.0f} %</td><td>{fragments.shares(talk, styles)}'
        f"</td></tr>"
    )


def _data(entry: _Entry, labels: Sequence[str], speakers: Sequence[str], texts: bool) -> dict[str, Any]:
    talk = entry.analysis.summary.recording
    utterances = []
    for segment in entry.analysis.segments:
        is_unsure = segment.prediction is not None and segment.prediction.is_unsure
        found: list[Any] = [labels.index(label) for label in segment.labels] or [UNSURE if is_unsure else NONE]
        sure = round(100 * (segment.confidence or 0.0))
        text = [segment.text or ""] if texts else []
        utterances.append([speakers.index(segment.speaker), found, sure, round(segment.start_s, 1), *text])
    return {
        "name": entry.name,
        "page": entry.page,
        "duration": entry.analysis.duration_s,
        "utterances": talk.utterances,
        "unsure": talk.unsure_ms,
        "rows": utterances,
    }
