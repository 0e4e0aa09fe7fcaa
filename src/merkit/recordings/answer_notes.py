"""Notes on what the answers of a model with an answer rule can and cannot say about a recording."""

from collections import Counter
from collections.abc import Sequence

from merkit.core.types import Prediction
from merkit.inference.answers import UNSURE
from merkit.inference.recognizer import Recognizer
from merkit.io.answers import described_prior


def describe_answers(recognizer: Recognizer, predictions: Sequence[Prediction], speakers: Sequence[str]) -> list[str]:
    """Return notes on a recording's predictions; none where the model has no answer rule.

    Args:
        recognizer: The model.
        predictions: Of the utterances that it was asked for.
        speakers: Of all utterances of the recording; empty where they are unknown.
    """
    rule, known = recognizer.answers.rule, recognizer.labels
    if rule is None:
        return []
    notes = []
    if rule.compares:
        notes.append("A mood that lasts the whole recording cannot be seen.")
        if len(speakers) > 1 and not all(speakers):
            notes.append("Utterances without a known speaker count as those of one speaker.")
    reasons = Counter(prediction.reason for prediction in predictions if prediction.reason is not None)
    unsure = sum(count for reason, count in reasons.items() if reason.startswith(UNSURE))
    total = len(predictions)
    for reason, count in reasons.items():
        if not reason.startswith(UNSURE):
            what = "It has no label" if len(speakers) == 1 else f"{count} of {len(speakers)} utterances have no label"
            notes.append(f"{what}: {reason}.")
    if unsure:
        what = "It is" if total == 1 else f"{unsure} of {len(speakers)} utterances are"
        notes.append(f"{what} unsure, without a label: no probability is {rule.unsure_below:g} or more.")
    if total > sum(reasons.values()) - unsure:
        hidden = [label for label in known if label not in recognizer.answers.labels]
        if rule.prior is not None:
            notes.append(f"{described_prior(rule.priors(known))}; --prior even (prior='even') assumes none.")
        if hidden:
            notes.append(f"Not shown: {', '.join(hidden)}; --labels all (labels='all') shows them.")
    return notes
