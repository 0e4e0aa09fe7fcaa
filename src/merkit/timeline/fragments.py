"""Fragments of HTML that need no script: what the page, the index and a notebook show alike."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from merkit.core.characters import html_text
from merkit.core.phrases import number_of
from merkit.timeline.labels import NONE, UNSURE, style_class
from merkit.timeline.summary import Talk, Window
from merkit.timeline.view import UNKNOWN_SPEAKER, View, clock

if TYPE_CHECKING:
    from merkit.timeline.analysis import Analysis, Segment


def style() -> str:
    """Return the style sheet."""
    return resource("page.css")


def resource(name: str) -> str:
    """Return a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def headline(analysis: "Analysis") -> str:
    """Return the recording in a sentence or two."""
    talk = analysis.summary.recording
    speakers = [name for name in analysis.summary.speakers if name]
    total = utterances_ms(analysis)
    labelled = total - talk.unsure_ms - talk.unlabelled_ms
    who = f" by {number_of(len(speakers), 'speaker')}" if speakers else ""
    sentences = [f"{number_of(talk.utterances, 'utterance')}{who}, {clock(talk.talk_ms / 1000)} of talk."]
    if talk.labels_ms:
        shares = [f"{label} {_percent(ms, labelled)}" for label, ms in list(talk.labels_ms.items())[:3]]
        sentences.append(f"Of the labelled time: {', '.join(shares)}.")
    elif talk.utterances:
        sentences.append("No utterance has a label.")
    open_ = [(talk.unsure_ms, "unsure"), (talk.unlabelled_ms, "without a label")]
    left = [f"{_percent(ms, total)} {what}" for ms, what in open_ if ms]
    if left and talk.labels_ms:
        sentences.append(f"Of all time: {', '.join(left)}.")
    return f'<p class="headline">{html_text(" ".join(sentences))}</p>'


def utterances_ms(analysis: "Analysis") -> int:
    """Return the duration of all utterances; one of several labels counts once."""
    return round(1000 * sum(max(segment.end_s - segment.start_s, 0.0) for segment in analysis.segments))


def speakers_table(view: View) -> str:
    """Return talk time, overlaps and shares of labels of each speaker, and of all together."""
    summary = view.analysis.summary
    everything = summary.recording.talk_ms
    rows = [
        (name or UNKNOWN_SPEAKER, talk, _percent(talk.talk_ms, everything)) for name, talk in summary.speakers.items()
    ]
    if len(rows) != 1:
        rows.append(("All", summary.recording, ""))
    body = "".join(
        f'<tbody><tr><th scope="row">{html_text(name)}</th><td class="n">{talk.utterances}</td>'
        f'<td class="n">{clock(talk.talk_ms / 1000)} <span class="small">{share}</span></td>'
        f'<td class="n">{clock(talk.overlap_ms / 1000)}</td></tr>'
        f'<tr class="bar"><td colspan="4">{shares(talk, view.styles)}</td></tr></tbody>'
        for name, talk, share in rows
    )
    return (
        '<table><thead><tr><th scope="col">Speaker</th><th scope="col" class="n">Utterances</th>'
        f'<th scope="col" class="n">Talk</th><th scope="col" class="n">Overlap</th></tr></thead>{body}</table>'
    )


def shares(talk: Talk | Window, styles: Mapping[str, int], vertical: bool = False) -> str:
    """Return the labels' shares of the time as a bar, with their values as text for screen readers."""
    parts = _parts(talk, styles)
    total = sum(ms for _, _, ms in parts)
    if not total:
        return '<span class="small">–</span>' if not vertical else "<div></div>"
    said = ", ".join(f"{name} {_percent(ms, total)}" for _, name, ms in parts)
    side = "height" if vertical else "flex-grow"
    bars = "".join(
        f'<span class="key {kind}" style="{side}:{100 * ms / total:.1f}{"%" if vertical else ""}" '
        f'title="{html_text(name)} {_percent(ms, total)}"></span>'
        for kind, name, ms in parts
    )
    if vertical:
        return f'<div role="img" aria-label="{html_text(said)}">{bars}</div>'
    open_ = sum(kind in (UNSURE, NONE) for kind, _, _ in parts)
    shown = [*parts[: len(parts) - open_][:4], *parts[len(parts) - open_ :]]
    top = html_text(", ".join(f"{name} {_percent(ms, total)}" for _, name, ms in shown))
    bar = f'<div class="shares" role="img" aria-label="{html_text(said)}">{bars}</div>'
    return f'{bar}<div class="small" aria-hidden="true">{top}</div>'


def legend(view: View) -> str:
    """Return the labels that occur, each beside its key."""
    talk = view.analysis.summary.recording
    used = [(f"l{view.styles[label]}", label) for label in view.labels if label in talk.labels_ms]
    used += [(UNSURE, "unsure")] if talk.unsure_ms else []
    used += [(NONE, "no label")] if talk.unlabelled_ms else []
    return f'<ul class="legend">{"".join(f"<li>{key(kind)}{html_text(name)}</li>" for kind, name in used)}</ul>'


def key(kind: str) -> str:
    """Return the sample of a label's colour and pattern."""
    return f'<span class="key {kind}" aria-hidden="true"></span>'


def tag(segment: "Segment", styles: Mapping[str, int]) -> str:
    """Return an utterance's label beside its key, and how sure it is."""
    kind = style_class(segment, styles)
    if segment.label is not None:
        name = ", ".join(segment.labels)
        sure = "" if segment.confidence is None else f"<small>{100 * segment.confidence:.0f} %</small>"
    else:
        name = "unsure" if kind == UNSURE else "no label"
        sure = f"<small>{html_text(segment.reason)}</small>" if segment.reason and kind == NONE else ""
    sources = [each.label for each in segment.sources.values() if each.label is not None]
    differs = " differs" if len(set(sources)) > 1 else ""
    return f'<span class="tag{differs}">{key(kind)}<b>{html_text(name)}</b> {sure}</span>'


def turning_points(analysis: "Analysis") -> Iterable[tuple[float, str]]:
    """Yield the seconds and the sentence of each turning point."""
    for point in analysis.summary.turning_points:
        yield point.time_ms / 1000, f"{point.speaker or UNKNOWN_SPEAKER}: {point.before} → {point.after}"


def _parts(talk: Talk | Window, styles: Mapping[str, int]) -> Sequence[tuple[str, str, int]]:
    parts = [(f"l{styles.get(label, 0)}", label, ms) for label, ms in talk.labels_ms.items()]
    parts += [(UNSURE, "unsure", talk.unsure_ms), (NONE, "no label", talk.unlabelled_ms)]
    return [part for part in parts if part[2] > 0]


def _percent(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f}\N{NO-BREAK SPACE}%" if share >= 1 or share == 0 else "< 1\N{NO-BREAK SPACE}%"
