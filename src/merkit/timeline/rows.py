"""The utterances of a page: the transcript, and what words and voice say of each against the other."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from merkit.core.characters import html_text
from merkit.timeline import fragments
from merkit.timeline.labels import NONE, UNSURE, style_class
from merkit.timeline.view import UNKNOWN_SPEAKER, View, clock

if TYPE_CHECKING:
    from merkit.core.types import Prediction
    from merkit.timeline.analysis import Segment

_MOST_CONTRASTS = 12
_NO_LABEL = "no label"


def transcript(view: View) -> str:
    """Return the section with all utterances and their filters; a script reads what it needs from the rows."""
    rows = "\n".join(_rows(view))
    segments, talk = view.analysis.segments, view.analysis.summary.recording
    who = "".join(
        f'<option value="{at}">{html_text(name or UNKNOWN_SPEAKER)}</option>' for at, name in enumerate(view.speakers)
    )
    used = dict.fromkeys(label for segment in segments for label in segment.labels)
    which = "".join(f'<option value="{view.labels.index(label)}">{html_text(label)}</option>' for label in used)
    which += f'<option value="{UNSURE}">unsure</option>' if talk.unsure_ms else ""
    which += f'<option value="{NONE}">{_NO_LABEL}</option>' if talk.unlabelled_ms else ""
    return (
        '<section class="card transcript" aria-labelledby="h-transcript"><h2 id="h-transcript">Transcript</h2>'
        '<div class="filters"><label>Search <input type="search" id="search"></label>'
        f'<label>Speaker <select id="who"><option value="">all</option>{who}</select></label>'
        f'<label>Label <select id="which"><option value="">all</option>{which}</select></label>'
        '<label>At least <input type="range" id="sure" min="0" max="95" step="5" value="0">'
        '<output id="least" for="sure">0 %</output></label><span class="small" id="count" role="status"></span></div>'
        f'<ol class="list" id="utterances" tabindex="0" aria-label="Utterances">\n{rows}\n</ol></section>'
    )


def plain_rows(view: View) -> str:
    """Return all utterances without anything that a script reads."""
    return "".join(
        f'<li><span class="time">{clock(segment.start_s, tenths=True)}</span>{_said(view, number)}</li>'
        for number, segment in enumerate(view.analysis.segments)
    )


def contrasts(view: View) -> str:
    """Return what two sources say against each other: how often which labels meet, and where they differ most."""
    if len(view.sources) != 2:
        return ""
    first, second = view.sources
    pairs = [(s, s.sources[first], s.sources[second]) for s in view.analysis.segments if len(s.sources) == 2]
    counts = Counter((one.label or _NO_LABEL, other.label or _NO_LABEL) for _, one, other in pairs)
    both = [(s, one, other) for s, one, other in pairs if one.label is not None and other.label is not None]
    same = sum(one.label == other.label for _, one, other in both)
    rows = [name for name in (*view.labels, _NO_LABEL) if any(pair[0] == name for pair in counts)]
    columns = [name for name in (*view.labels, _NO_LABEL) if any(pair[1] == name for pair in counts)]
    head = "".join(f'<th scope="col" class="n">{html_text(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{html_text(row)}</th>'
        + "".join(
            f'<td class="n{" same" if row == name != _NO_LABEL else ""}">{counts[row, name] or "–"}</td>'
            for name in columns
        )
        + "</tr>"
        for row in rows
    )
    differing = [(s, one, other) for s, one, other in both if one.label != other.label]
    differing.sort(key=lambda each: -(each[1].confidence or 0.0) * (each[2].confidence or 0.0))
    listed = "".join(
        f'<li><button type="button" class="time" data-seek="{segment.start_s:.3f}">{clock(segment.start_s)}</button> '
        f"{html_text(f'{first}: {_short(one)}; {second}: {_short(other)}')}</li>"
        for segment, one, other in differing[:_MOST_CONTRASTS]
    )
    agreed = f"Where both have a label, they agree on {same} of {len(both)} utterances."
    against = f'<h3>Where they differ most surely</h3><ul class="turns">{listed}</ul>' if listed else ""
    return (
        f'<section class="card" aria-labelledby="h-contrasts"><h2 '
        f'id="h-contrasts">What {html_text(says(first))} and what '
        f'{html_text(says(second))}</h2><div class="facts pair"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="How often which labels meet"><table class="crossed"><caption '
        f'class="small">Utterances: rows {html_text(says(first))}, columns {html_text(says(second))}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<div><p class="small">{agreed if both else "No utterance has a label of both."}</p>{against}</div></div>'
        "</section>"
    )


def says(source: str) -> str:
    """Return what a column of a source is called.

    >>> says("words"), says("voice")
    ('the words say', 'the voice says')
    """
    return f"the {source} {'say' if source.endswith('s') else 'says'}"


def _rows(view: View) -> Iterator[str]:
    speakers = {speaker: at for at, speaker in enumerate(view.speakers)}
    for number, segment in enumerate(view.analysis.segments):
        sure = "" if segment.confidence is None else f' data-c="{100 * segment.confidence:.0f}"'
        times = f"{1000 * segment.start_s:.0f},{1000 * segment.end_s:.0f}"
        kind = style_class(segment, view.styles)
        labels = "+".join(str(view.labels.index(label)) for label in segment.labels)
        yield (
            f'<li id="u{number}" data-t="{times},{speakers[segment.speaker]},{kind},{labels}"{sure}'
            f'{_shares(view, segment)}><button type="button" class="time">{clock(segment.start_s, tenths=True)}'
            f"</button>"
            f"{_said(view, number)}</li>"
        )


def _said(view: View, number: int) -> str:
    segment = view.analysis.segments[number]
    facts = [f"{name}: {_short(each)}" for name, each in segment.sources.items()]
    if segment.arousal is not None:
        facts.append(f"arousal {100 * segment.arousal:.0f} %")
    if view.truth:
        mark = "✓" if segment.label == view.truth[number] else "✗"
        facts.insert(0, f"truth: {view.truth[number]} {mark}")
    below = f'<span class="parts">{html_text("; ".join(facts))}</span>' if facts else ""
    who = segment.speaker or (UNKNOWN_SPEAKER if any(view.speakers) else "")
    return (
        f'<span class="who">{html_text(who)}</span>{fragments.tag(segment, view.styles)}'
        f'<span class="said">{html_text(segment.text or "")}{below}</span>'
    )


def _short(prediction: "Prediction") -> str:
    if prediction.label is None:
        return "unsure" if prediction.is_unsure else _NO_LABEL
    return prediction.label + ("" if prediction.confidence is None else f" {100 * prediction.confidence:.0f} %")


def _shares(view: View, segment: "Segment") -> str:
    """Return an utterance's probabilities, together and of each source: its number, label and percentages."""
    predictions = [(0, segment.prediction)]
    predictions += [(view.sources.index(name) + 1, each) for name, each in segment.sources.items()]
    shares = []
    for number, each in predictions:
        if each is not None and each.probabilities:
            values = "-".join(f"{100 * each.probabilities.get(label, 0.0):.0f}" for label in view.labels)
            shares.append(f"{number}:{'' if each.label is None else view.labels.index(each.label)}:{values}")
    return f' data-p="{"|".join(shares)}"' if shares else ""
