"""Leave out words in a language that a model was not trained on, and keep the reason."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from merkit.core.language import language_code
from merkit.core.types import Turn, Utterance


def has_foreign_words(utterance: Utterance, known: Collection[str] | None) -> bool:
    """Return whether an utterance has words in none of the languages that a model was trained on.

    Args:
        utterance: Its words are not foreign where their language is missing or no code.
        known: Codes of the model's languages; ``None``: it states none.
    """
    code = language_code(utterance.language)
    return utterance.text is not None and code is not None and known is not None and code not in known


def without_foreign(
    items: Sequence[Sequence[Turn]], known: Collection[str]
) -> tuple[Sequence[Sequence[Turn]], dict[str, str]]:
    """Return items without words in other languages, context included, and by id why words are left out.

    Args:
        items: The turns of each item.
        known: Codes of the languages that the model was trained on.
    """
    reasons = {
        turn.utterance.id: _reason(turn.utterance, known)
        for item in items
        for turn in item
        if has_foreign_words(turn.utterance, known)
    }

    def known_words(utterance: Utterance) -> Utterance:
        return replace(utterance, text=None) if has_foreign_words(utterance, known) else utterance

    def read(turn: Turn) -> Turn:
        previous, following = (tuple(map(known_words, each)) for each in (turn.previous, turn.following))
        return replace(turn, utterance=known_words(turn.utterance), previous=previous, following=following)

    return [[read(turn) for turn in item] for item in items], reasons


def _reason(utterance: Utterance, known: Collection[str]) -> str:
    trained = ", ".join(f"'{code}'" for code in sorted(known))
    return f"the words are in the language '{language_code(utterance.language)}', the model was trained on {trained}"
