"""A timeline as one HTML page: no other file but, on request, the recording; no network.

A content policy in the page allows its one script, by its hash, and nothing else, so that no text of a transcript can
run; all text is escaped besides. Without scripts the page shows everything but the closer view and playback.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit import __version__
from merkit.core.characters import html_text
from merkit.core.errors import MediaError
from merkit.core.phrases import number_of
from merkit.timeline import fragments, sound
from merkit.timeline.charts import axis, courses, overview, patterns
from merkit.timeline.peaks import Peaks, peaks_of
from merkit.timeline.rows import contrasts, plain_rows, says, transcript
from merkit.timeline.view import LANES, UNKNOWN_SPEAKER, View, clock, view_of

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis

GENERATOR = '<meta name="generator" content="merkit">'
_UNPLAYABLE = (
    "No sound: a browser plays the first track of the recording, and this is track {}. It is played with --audio embed."
)
_ZOOMS = ((15, "15 s"), (30, "30 s"), (60, "1 min"), (300, "5 min"), (0, "all"))


def timeline_page(analysis: "Analysis", folder: Path, audio: sound.Audio = "link", truth: Sequence[str] = ()) -> str:
    """Return the page of an analysis.

    Args:
        analysis: The analysis.
        folder: Where the page will lie, for the link to the recording.
        audio: Whether the sound is in the page, linked, or neither; an analysis without a file, or of which voices
            were left out, has none. A track other than the first is not linked: browsers play the first.
        truth: The true label of each utterance, where they are known: shown beside the predicted one.

    Raises:
        MediaError: The sound is to be in the page, and cannot be read.
    """
    heard = None if analysis.excludes_speakers else analysis.sound
    view = view_of(analysis, known_peaks(analysis), truth)
    has_sound = heard is not None and audio != "none" and view.peaks is not None
    unplayable = has_sound and audio == "link" and analysis.track not in (None, 1)
    has_sound = has_sound and not unplayable
    source = sound.link(analysis.recording, folder) if has_sound and audio == "link" else ""
    embedded = sound.embedded(heard) if heard is not None and has_sound and audio == "embed" else ""
    status = _UNPLAYABLE.format(analysis.track) if unplayable else ""
    script = fragments.resource("page.js")
    beside = f'<div class="beside">{_player(view, has_sound, source, status)}{transcript(view)}</div>'
    sections = [_summary(view), beside, _courses(view), contrasts(view), _about(analysis)]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{policy(script)}{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{html_text(analysis.recording.name)}: emotions over time</title>\n"
        f"<style>\n{fragments.style()}</style>\n"
        f'</head>\n<body class="mk">\n{patterns()}\n{_header(view)}\n<main>\n{"".join(sections)}\n</main>\n'
        f'<script type="application/json" id="data">{json_text(_data(view))}</script>\n'
        + (f'<script type="text/plain" id="sound">{embedded}</script>\n' if embedded else "")
        + f"<script>{script}</script>\n</body>\n</html>\n"
    )


def notebook_part(analysis: "Analysis") -> str:
    """Return a smaller timeline without scripts, for the output of a notebook's cell."""
    view = view_of(analysis, known_peaks(analysis))
    notes = "".join(f"<li>{html_text(note)}</li>" for note in (*analysis.stages.values(), *analysis.notes))
    return (
        f'<div class="mk mk-notebook"><style>{fragments.style()}</style>{patterns()}'
        f"<h4>{html_text(analysis.title)}</h4>"
        f"{fragments.headline(analysis)}{overview(view)}{axis(analysis.duration_s)}{fragments.legend(view)}"
        f"{fragments.speakers_table(view)}<details><summary>{number_of(len(analysis.segments), 'utterance')}</summary>"
        f'<ol class="list">{plain_rows(view)}</ol></details><details><summary>Notes</summary><ul '
        f'class="notes">{notes}</ul>'
        "</details></div>"
    )


def known_peaks(analysis: "Analysis") -> Peaks | None:
    """Return the outline of a recording; ``None``: it has no audio, is not known any more, or voices were left out."""
    if analysis.excludes_speakers:
        return None
    if analysis.sound is None:
        return analysis.peaks
    try:
        return peaks_of(analysis.sound)
    except MediaError:  # its words alone were read
        return None


def policy(script: str) -> str:
    """Return the content policy of a page with one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:"
    media = "media-src 'self' file: blob:; base-uri 'none'; form-action 'none'"
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}; {media}">\n'


def json_text(values: Mapping[str, Any]) -> str:
    """Return JSON that no HTML parser takes for the end of its script."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _data(view: View) -> Mapping[str, Any]:
    return {
        "duration": round(max(view.analysis.duration_s, 0.001), 3),
        "labels": view.labels,
        "styles": [view.styles[label] for label in view.labels],
        "speakers": view.speakers[:LANES],
        "titles": [
            "All together" if view.sources else "Probabilities",
            *(f"What {says(name)}" for name in view.sources),
        ],
        "peaks": "" if view.peaks is None else view.peaks.base64(),
        "per_s": 0 if view.peaks is None else view.peaks.per_s,
    }


def _header(view: View) -> str:
    analysis, speakers = view.analysis, view.speakers
    facts = [clock(analysis.duration_s)]
    facts += [number_of(len(speakers), "speaker")] if any(speakers) else []
    facts += [number_of(len(analysis.segments), "utterance")]
    facts += [f"{analysis.checkpoint} ({'calibrated' if analysis.calibrated else 'not calibrated'})"]
    return (
        '<a class="skip" href="#utterances">Skip to the transcript</a>\n<header>'
        f'<h1>{html_text(analysis.recording.name)}</h1><p class="lead">{html_text(" · ".join(facts))}</p></header>'
    )


def _summary(view: View) -> str:
    analysis = view.analysis
    turns = "".join(
        f'<li><button type="button" class="time" data-seek="{at:.3f}">{clock(at)}</button> {html_text(what)}</li>'
        for at, what in fragments.turning_points(analysis)
    )
    points = f'<ul class="turns">{turns}</ul>' if turns else '<p class="small">None that is sure.</p>'
    windows = analysis.summary.windows
    over_time = ""
    if len(windows) > 1:
        bars = "".join(fragments.shares(window, view.styles, vertical=True) for window in windows)
        over_time = f'<h3>Shares over time</h3><div class="windows">{bars}</div>{axis(analysis.duration_s, 4)}'
    return (
        f'<section class="card" aria-labelledby="h-summary"><h2 id="h-summary">Summary</h2>'
        f"{fragments.headline(analysis)}"
        f'{_right(view)}<div class="facts"><div>{fragments.speakers_table(view)}{fragments.legend(view)}</div>'
        f"<div><h3>Turning points</h3>{points}{over_time}</div></div></section>"
    )


def _right(view: View) -> str:
    if not view.truth:
        return ""
    pairs = list(zip(view.analysis.segments, view.truth, strict=True))
    labels_of = {"All together" if view.sources else "The model": [segment.label for segment, _ in pairs]}
    for name in view.sources:
        alone = (segment.sources.get(name) for segment, _ in pairs)
        labels_of[name] = [None if each is None else each.label for each in alone]
    counts = (f"{name} {sum(map(str.__eq__, view.truth, map(str, said)))}" for name, said in labels_of.items())
    return f'<p class="headline">Right, of {len(pairs)}: {html_text(", ".join(counts))}.</p>'


def _player(view: View, has_sound: bool, source: str, status: str) -> str:
    analysis = view.analysis
    shown = 30 if analysis.duration_s > 45 else 0
    zooms = "".join(
        f'<option value="{length}"{" selected" if length == shown else ""}>{name}</option>' for length, name in _ZOOMS
    )
    link = f' data-src="{html_text(source)}"' if source else ""
    audio = f'<audio id="audio" controls preload="metadata"{link}></audio>' if has_sound else ""
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == 1 else ""}>{speed:g} ×</option>'
        for speed in (0.75, 1, 1.5, 2)
    )
    play = (
        '<button type="button" class="play" id="play" aria-pressed="false">▶ Play</button>'
        f'<label class="wide">Speed <select id="speed">{speeds}</select></label>'
        if has_sound
        else '<button type="button" id="play" hidden></button>'
    )
    return (
        '<section class="card player" aria-labelledby="h-player"><h2 id="h-player">Sound and emotions</h2>'
        f'<div class="whole" id="whole" role="slider" tabindex="0" aria-label="Place in the recording, in seconds" '
        f'aria-valuemin="0" aria-valuemax="{analysis.duration_s:.1f}" aria-valuenow="0">'
        f'{overview(view)}<div class="view"></div><div class="cursor"></div></div>'
        f"{axis(analysis.duration_s)}"
        f'<svg class="detail" id="detail" aria-hidden="true"></svg>'
        f'<div class="controls">{audio}{play}<span class="clock" id="clock" aria-hidden="true"></span>'
        f'<label class="wide">View <select id="zoom">{zooms}</select></label>'
        '<label><input type="checkbox" id="follow" checked> Follow</label></div>'
        '<p class="small keys">Keys: <kbd>space</kbd> play, <kbd>←</kbd> <kbd>→</kbd> 5 s, <kbd>j</kbd> <kbd>k'
        "</kbd> next and "
        'previous utterance.</p><p class="small" id="status" role="status">'
        f"{status}</p>"
        '<div class="now-box"><div id="prediction"></div></div></section>'
    )


def _courses(view: View) -> str:
    figures = "".join(
        f"<figure><h3>{html_text(speaker or UNKNOWN_SPEAKER)}</h3>{chart}</figure>"
        for speaker in view.speakers
        if (chart := courses(view, speaker))
    )
    if not figures:
        return ""
    return (
        f'<section class="card" aria-labelledby="h-courses"><h2 id="h-courses">Course of each speaker</h2>'
        f'<div class="courses">{figures}</div><p class="small">Percent of each label: the mean of the probabilities '
        f"of the "
        "utterances around a moment, with 95 % bands, which are wide where there are few. Dotted lines are turning "
        "points. "
        "A click moves the recording.</p></section>"
    )


def _about(analysis: "Analysis") -> str:
    facts = {
        "Model": f"{analysis.checkpoint}, {'calibrated' if analysis.calibrated else 'not calibrated'}",
        "Its hash": analysis.checkpoint_hash or "",
        "Labels": ", ".join(analysis.labels),
        "Transcript": "" if analysis.transcript is None else analysis.transcript.name,
        "merkit": __version__,
        **{name.capitalize(): sentence for name, sentence in analysis.stages.items()},
    }
    items = "".join(f"<dt>{html_text(name)}</dt><dd>{html_text(fact)}</dd>" for name, fact in facts.items() if fact)
    notes = "".join(f"<li>{html_text(note)}</li>" for note in analysis.notes)
    return (
        '<section class="card" aria-labelledby="h-about"><h2 id="h-about">How it was made</h2>'
        f'<dl>{items}</dl><h3>Notes</h3><ul class="notes">{notes}</ul></section>'
    )
