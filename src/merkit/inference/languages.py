"""Words in a language that a model was not trained on: they are missing to the model, and the reason is kept."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from merkit.core.language import language_code
from merkit.core.types import Turn, Utterance


def is_foreign(language: str | None, known: Collection[str] | None) -> bool:
    """Return whether words are in none of the languages that a model was trained on.

    Args:
        language: Of the words; ``None`` or no code: unknown, nothing is said against them.
        known: Codes of the model's languages; ``None``: it states none.
    """
    code = language_code(language)
    return code is not None and known is not None and code not in known


def without_foreign(
    items: Sequence[Sequence[Turn]], known: Collection[str]
) -> tuple[Sequence[Sequence[Turn]], dict[str, str]]:
    """Return items without words in other languages, context included, and by id why an utterance has none.

    Args:
        items: The turns of each item.
        known: Codes of the languages that the model was trained on.
    """
    reasons = {
        turn.utterance.id: _reason(turn.utterance, known)
        for item in items
        for turn in item
        if _is(turn.utterance, known)
    }

    def understood(utterance: Utterance) -> Utterance:
        return replace(utterance, text=None) if _is(utterance, known) else utterance

    def read(turn: Turn) -> Turn:
        previous, following = (tuple(map(understood, each)) for each in (turn.previous, turn.following))
        return replace(turn, utterance=understood(turn.utterance), previous=previous, following=following)

    return [[read(turn) for turn in item] for item in items], reasons


def _is(utterance: Utterance, known: Collection[str]) -> bool:
    return utterance.text is not None and is_foreign(utterance.language, known)


def _reason(utterance: Utterance, known: Collection[str]) -> str:
    trained = ", ".join(f"'{code}'" for code in sorted(known))
    return f"the words are in the language '{language_code(utterance.language)}', the model was trained on {trained}"
