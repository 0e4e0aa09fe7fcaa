"""Tables and numbers of the cards."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def number(value: float | None) -> str:
    """Return a share with three digits and without its zero."""
    if value is None:
        return "none"
    return f"{value:.3f}".removeprefix("0")
