"""The decision rule of a checkpoint: which labels it shows, with what prior, and when it gives none."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from merkit.core.errors import ConfigError
from merkit.core.lookup import unknown
from merkit.core.phrases import number_of
from merkit.core.settings import Settings

ALL_LABELS = "all"
EVEN_PRIOR = "even"

_SLACK = 1e-6
"""By how much a sum of probabilities that were written by hand may be above 1."""
_ROUNDED = 1e-3
"""By how much the prior of all labels may differ from 1: thirds are written with three digits."""

_Probability = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]


class DecisionRule(Settings):
    """What a prediction of a model says, beyond its probabilities for all labels.

    Without a rule a model predicts the label of the highest probability, always. The rule belongs to inference alone:
    training and evaluation read the probabilities of all labels.
    """

    model_config = ConfigDict(strict=True)

    labels: Annotated[tuple[str, ...] | None, Field(strict=False)] = None
    """The labels that are shown, of which probabilities sum to 1; ``None``: all of the model."""
    prior: dict[str, _Probability] | None = None
    """Probability of a label before anything is read; those without one share the rest evenly. ``None``: even. The
    model's own logits must hold evidence without a prior, as balanced training gives them."""
    unsure_below: float = Field(default=0.0, ge=0.0, lt=1.0, allow_inf_nan=False)
    """Without a probability of that size there is no label."""
    least_utterances: int = Field(default=0, ge=0)
    """How many utterances with sound a speaker needs to be compared with the own average; fewer: no label."""
    least_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """How many seconds these have together at least."""
    arousal: bool = False
    """Whether the model's output has the logit ``arousal``, which is then part of every prediction."""

    @property
    def compares(self) -> bool:
        """Whether a label needs a reference of the speaker."""
        return self.least_utterances > 0 or self.least_s > 0

    def shown(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the labels that are shown, in the order of class numbers; ``known`` are all of the model.

        Raises:
            ValueError: One is not known or named twice, or there are fewer than two.
        """
        if self.labels is None:
            return tuple(known)
        _check_known("labels", self.labels, known)
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {', '.join(self.labels)}: one is named twice")
        if len(self.labels) < 2:
            raise ValueError(f"labels: found {len(self.labels)}, expected two or more of {', '.join(known)}")
        return tuple(label for label in known if label in self.labels)

    def priors(self, known: Sequence[str]) -> dict[str, float]:
        """Return the prior probability of each shown label; they sum to 1.

        A label that is not shown takes no part, whatever its prior; the others are scaled.

        Raises:
            ValueError: A label is not known, or the probabilities do not fit together.
        """
        shown = self.shown(known)
        given = self.prior or {}
        _check_known("prior", given, known)
        sum_given = math.fsum(given.values())
        others = [label for label in shown if label not in given]
        rest = 1.0 - sum_given
        if rest < -_SLACK or (set(given) == set(known) and rest > _ROUNDED):
            raise ValueError(f"prior: its probabilities sum to {sum_given:.6g}, expected 1")
        if others and rest <= _SLACK:
            raise ValueError(f"prior: its probabilities sum to 1, which leaves nothing for {', '.join(others)}")
        prior = {label: given[label] if label in given else rest / len(others) for label in shown}
        total = math.fsum(prior.values())
        return {label: value / total for label, value in prior.items()}

    def describe(self, known: Sequence[str]) -> list[str]:
        """Return the rule in sentences."""
        prior = self.priors(known)
        sentences = [f"Labels shown: {', '.join(prior)}."]
        if len(prior) < len(known):
            sentences[0] += f" On request: {', '.join(label for label in known if label not in prior)}."
        if self.prior is not None:
            sentences.append(f"{described_prior(prior)}.")
        if self.unsure_below:
            sentences.append(f"Unsure, without a label, below a probability of {self.unsure_below:g}.")
        if self.compares:
            sentences.append(
                f"A voice is compared with the speaker's own average: no label below {self.least_reference}."
            )
        if self.arousal:
            sentences.append("Arousal: the probability that it is higher than the speaker's own average.")
        return sentences

    @property
    def least_reference(self) -> str:
        """What a speaker needs, in words."""
        return f"{number_of(max(self.least_utterances, 1), 'utterance')} or {self.least_s:g} s of the speaker"


def described_prior(prior: Mapping[str, float]) -> str:
    """Return a prior in words: equal probabilities together."""
    by_value: dict[str, list[str]] = {}
    for label, value in prior.items():
        by_value.setdefault(f"{100 * value:.3g} %", []).append(label)
    each = (f"{', '.join(labels)} {value}{' each' if labels[1:] else ''}" for value, labels in by_value.items())
    return f"Prior: {'; '.join(each)}"


@dataclass(frozen=True)
class DecisionOptions:
    """What a user chose in place of a checkpoint's decision rule; ``None``: as the rule says."""

    labels: Any = None
    """``"all"``, or a sequence of labels."""
    prior: Any = None
    """``"even"``, or probabilities by label; labels that are not named share the rest evenly."""

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, as JSON values."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def applied(self, rule: DecisionRule | None, known: Sequence[str], name: str) -> DecisionRule | None:
        """Return a checkpoint's rule with these options.

        Args:
            rule: The checkpoint's.
            known: All labels of the model.
            name: Of the checkpoint, for errors.

        Raises:
            ConfigError: There is no rule that could be changed, or an option does not fit the labels.
        """
        if not self.given:
            return rule
        if rule is None:
            raise ConfigError(
                f"'{name}' always shows all of its labels ({', '.join(known)}), without a prior: leave "
                f"{' and '.join(self.given)} out, or use a model with a decision rule, such as a built-in one"
            )
        values = rule.model_dump()
        if self.labels is not None:
            values["labels"] = None if _is(self.labels, ALL_LABELS) else _checked_labels(self.labels)
        if self.prior is not None:
            values["prior"] = None if _is(self.prior, EVEN_PRIOR) else _checked_prior(self.prior)
        try:
            chosen = DecisionRule(**values)
            chosen.priors(known)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"{key}: found {str(first['input'])[:40]!r}; {first['msg']}") from None
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return chosen


DEFAULT_DECISION = DecisionOptions()


def _is(value: Any, word: str) -> bool:
    return isinstance(value, str) and value == word


def _checked_labels(labels: Any) -> tuple[Any, ...]:
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise ConfigError(f"labels: found {str(labels)[:40]!r}, expected '{ALL_LABELS}' or a list of labels")
    return tuple(labels)


def _checked_prior(prior: Any) -> dict[Any, Any]:
    if not isinstance(prior, Mapping):
        raise ConfigError(
            f"prior: found {str(prior)[:40]!r}, expected '{EVEN_PRIOR}' or probabilities by label, such as "
            "{'neutral': 0.8}"
        )
    return dict(prior)


def _check_known(key: str, labels: Any, known: Sequence[str]) -> None:
    lacking = [str(label) for label in labels if label not in known]
    if lacking:
        raise ValueError(f"{key}: {unknown('label', lacking[0][:40], known)}")
