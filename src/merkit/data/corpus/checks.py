"""Checks of a corpus' table: damaged, empty and repeated texts, implausible durations."""

from collections.abc import Iterable, Mapping, Sequence

from merkit.core.corpus import Finding
from merkit.core.types import Utterance
from merkit.data.corpus.findings import counted
from merkit.data.corpus.mending import damage

LONG_S = 30.0
"""An utterance longer than this is reported: most often a wrong cut."""
SHORT_S = 0.1
"""An utterance shorter than this is reported: less than a syllable, and too short for some encoders."""

MANY_WORDS = 126
"""A text of more words is reported: text encoders read 128 tokens by default, of which two are added. A word is one
token or more, so that parts of further texts may not be read; `merkit features` and `predict` count tokens."""


def check_texts(utterances: Sequence[Utterance]) -> list[Finding]:
    """Report texts that are empty or were decoded wrongly."""
    descriptions = {
        "controls": "hold control characters (U+0080 to U+009F), Windows-1252 letters as a rule",
        "mojibake": "hold UTF-8 that was read as Windows-1252",
        "replacement": "hold the replacement character U+FFFD: letters are lost",
    }
    damaged: dict[str, list[str]] = {kind: [] for kind in descriptions}
    empty = []
    for utterance in utterances:
        if utterance.text is None:
            continue
        if not utterance.text.strip():
            empty.append(utterance.id)
        for kind in damage(utterance.text):
            damaged[kind].append(utterance.id)
    findings: list[Finding] = []
    for kind, ids in damaged.items():
        findings += counted("warning", f"text-{kind}", ids, f"texts {descriptions[kind]}")
    return [*findings, *counted("warning", "empty-text", empty, "texts are empty"), *_check_lengths(utterances)]


def _check_lengths(utterances: Sequence[Utterance]) -> list[Finding]:
    """Report texts that are longer than text encoders read by default."""
    words = {utterance.id: len((utterance.text or "").split()) for utterance in utterances}
    long = {name: count for name, count in words.items() if count > MANY_WORDS}
    unread = sum(long.values()) - MANY_WORDS * len(long)
    share = f"{100 * unread / max(sum(long.values()), 1):.0f} %"
    message = (
        f"texts have more than {MANY_WORDS} words: {share} of their words or more are not read by a text encoder that "
        'reads 128 tokens, as is the default. Give it a larger max_tokens, or keep = "end"'
    )
    return counted("warning", "long-text", long, message)


def check_durations(durations_s: Mapping[str, float]) -> list[Finding]:
    """Report utterances, by id, that are implausibly long or short."""
    long = [name for name, seconds in durations_s.items() if seconds > LONG_S]
    short = [name for name, seconds in durations_s.items() if seconds < SHORT_S]
    longest = max(durations_s.values(), default=0.0)
    message = f"utterances last longer than {LONG_S:g} s, the longest {longest:.1f} s: wrong cuts?"
    return [
        *counted("warning", "over-long", long, message),
        *counted("warning", "very-short", short, f"utterances last less than {SHORT_S:g} s"),
    ]


def check_repeated_texts(utterances: Iterable[Utterance]) -> list[Finding]:
    """Report texts of one split that occur in the training split, apart from case and blanks.

    Splits are those of the attribute ``split``; without a split ``train`` nothing is compared.
    """
    splits: dict[str, list[tuple[str, str]]] = {}
    for utterance in utterances:
        split = utterance.attributes.get("split")
        text = " ".join((utterance.text or "").casefold().split())
        if split is not None and text:
            splits.setdefault(str(split), []).append((utterance.id, text))
    training = {text for _, text in splits.pop("train", [])}
    findings: list[Finding] = []
    for split, rows in splits.items():
        ids = [name for name, text in rows if text in training]
        message = f"of {len(rows):,} texts of '{split}' occur word for word in 'train'"
        findings += counted("info", f"repeated-text-{split}", ids, message)
    return findings
