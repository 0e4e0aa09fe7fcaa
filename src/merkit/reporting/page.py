"""The report as one HTML page without external resources."""

from collections.abc import Mapping, Sequence
from importlib import resources

from merkit.core.characters import html_text
from merkit.reporting.details import anchor
from merkit.reporting.section import Section, section_html


def page(sections: Mapping[str, Sequence[Section]], title: str) -> str:
    """Return the whole page of the sections of every task."""
    style = resources.files("merkit.reporting").joinpath("report.css").read_text(encoding="utf-8")
    links, body = "", ""
    for task, of_task in sections.items():
        targets = {anchor(task): task} | {s.anchor: s.title for s in of_task if s.anchor}
        links += "".join(f'<li><a href="#{html_text(id_)}">{html_text(name)}</a></li>' for id_, name in targets.items())
        content = "".join(map(section_html, of_task))
        body += f'<section id="{html_text(anchor(task))}"><h2>{html_text(task)}</h2>{content}</section>\n'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{html_text(title)}</h1><p class="lead">Every score on this page was computed from stored'
        " predictions, joined with the true labels by utterance id.</p>"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )
