"""Splitting a corpus: draws by a seed, validation splits by group, k folds by group.

Groups (conversations, speakers, videos) are never cut. A draw orders the groups by a hash of seed, fold and group, so
that it is the same on every machine and Python, and one more group does not change the order of the others.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import TypeVar

from merkit.core.errors import CountError
from merkit.core.protocol import Fold, Protocol
from merkit.core.types import Utterance
from merkit.protocols._labels import numbered

Group = Callable[[Utterance], str]
FoldOf = TypeVar("FoldOf", int, str)


conversation: Group = attrgetter("conversation")
speaker: Group = attrgetter("speaker")


def known_speaker(utterance: Utterance) -> str:
    """Return the speaker; one who is not known is a person of that conversation alone."""
    return utterance.speaker or utterance.conversation


def draw(names: Iterable[str], count: int, *key: str | int) -> frozenset[str]:
    """Return ``count`` of the names, drawn by ``key`` (seed, fold name, …), whatever their order."""

    def rank(name: str) -> bytes:
        return blake2b("\0".join([*map(str, key), name]).encode(), digest_size=16).digest()

    return frozenset(sorted(set(names), key=rank)[:count])


def held_out(utterances: Sequence[Utterance], group: Group, count: int | float, *key: str | int) -> frozenset[str]:
    """Return the groups of the validation split: ``count`` of them, or that share of them.

    At least one is held out, and at least one stays for training.

    Raises:
        CountError: There are fewer than two groups.
    """
    names = {group(utterance) for utterance in utterances}
    if len(names) < 2:
        raise CountError(
            f"cannot make a validation split: the training split has {len(names)} group(s), at least 2 are needed. "
            f"Give more conversations or speakers, or a column that names a validation split."
        )
    wanted = count if isinstance(count, int) else round(count * len(names))
    return draw(names, min(max(1, wanted), len(names) - 1), *key)


def fold(
    protocol: Protocol,
    name: str,
    train: Sequence[Utterance],
    valid: Sequence[Utterance],
    test: Sequence[Utterance],
) -> Fold:
    """Return a fold: labels for training and validation, ids alone for the test split.

    Raises:
        CountError: A split is empty, or two splits share an utterance.
    """
    made = Fold(name, numbered(protocol, train), numbered(protocol, valid), tuple(utterance.id for utterance in test))
    for split, ids in (("training", made.train), ("validation", made.valid), ("test", made.test)):
        if not ids:
            raise CountError(f"fold '{name}' has no {split} utterance. Was the whole corpus prepared?")
    if len({*made.train, *made.valid, *made.test}) != len(made.train) + len(made.valid) + len(made.test):
        raise CountError(f"fold '{name}': an utterance is in two splits. Give every utterance its own id.")
    return made


def cut(
    protocol: Protocol,
    name: str,
    learnable: Sequence[Utterance],
    test: Sequence[Utterance],
    group: Group,
    count: int | float,
    *key: str | int,
) -> Fold:
    """Return a fold whose validation split is drawn from the learnable utterances, as by ``held_out``."""
    valid = held_out(learnable, group, count, *key)
    return fold(
        protocol,
        name,
        [utterance for utterance in learnable if group(utterance) not in valid],
        [utterance for utterance in learnable if group(utterance) in valid],
        test,
    )


def leave_out(
    protocol: Protocol,
    members: Sequence[Utterance],
    fold_of: Callable[[Utterance], FoldOf],
    group: Group,
    count: int | float,
    seed: int,
    folds: Iterable[FoldOf] | None = None,
    name: Callable[[FoldOf], str] = str,
) -> list[Fold]:
    """Return folds, by default all that ``fold_of`` returns, sorted: each tests its members and learns from the others.

    Seed and fold draw the validation split, as in ``cut``; ``name`` names a fold.
    """
    made = []
    for tested in sorted({fold_of(utterance) for utterance in members}) if folds is None else folds:
        learnable = [utterance for utterance in members if fold_of(utterance) != tested]
        test = [utterance for utterance in members if fold_of(utterance) == tested]
        made.append(cut(protocol, name(tested), learnable, test, group, count, seed, tested))
    return made


def dealt(names: Iterable[str], folds: int) -> dict[str, int]:
    """Return the fold of each name: the first name gets 0, the second 1, and so on, in alphabetical order."""
    return {name: number % folds for number, name in enumerate(sorted(set(names)))}


def balanced(utterances: Sequence[Utterance], group: Group, folds: int) -> dict[str, int]:
    """Return the fold of each group: the largest group first, each into the smallest fold.

    Labels are not used. Ties go by name.

    Raises:
        CountError: There are fewer groups than folds.
    """
    sizes = Counter(group(utterance) for utterance in utterances)
    if len(sizes) < folds:
        raise CountError(
            f"cannot make {folds} folds of {len(sizes)} group(s). Ask for fewer folds, or group by another column."
        )
    filled = [0] * folds
    fold_of: dict[str, int] = {}
    for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold_of[name] = min(range(folds), key=filled.__getitem__)
        filled[fold_of[name]] += size
    return fold_of
