"""Notes on what predictions leave out and what they assume: of a model with an answer rule, or of several labels."""

from collections import Counter
from collections.abc import Sequence

from merkit.core.types import Prediction
from merkit.inference.answers import UNSURE
from merkit.inference.recognizer import Recognizer
from merkit.io.answers import described_prior


def describe_reference(recognizer: Recognizer, predictions: Sequence[Prediction], speakers: Sequence[str]) -> list[str]:
    """Return notes on what the utterances of a recording are compared with; ``speakers`` are theirs, if known."""
    if not recognizer.compares_speakers or not predictions:
        return []
    notes = ["Sound is compared with the speaker's own average over this recording alone."]
    rule = recognizer.answers.rule
    if rule is not None and rule.compares:
        notes.append("A mood that lasts the whole recording cannot be seen.")
        if len(speakers) > 1 and not all(speakers):
            notes.append("Utterances without a known speaker count as those of one speaker.")
    return notes


def describe_answers(recognizer: Recognizer, predictions: Sequence[Prediction], total: int) -> list[str]:
    """Return notes on the labels of predictions; none where the model always gives one.

    Args:
        recognizer: The model.
        predictions: Of the utterances that it was asked for.
        total: How many utterances there are.
    """
    rule, known = recognizer.answers.rule, recognizer.labels
    if recognizer.answers.always_labels:
        return []
    reasons = Counter(prediction.reason for prediction in predictions if prediction.reason is not None)
    unsure = sum(count for reason, count in reasons.items() if reason.startswith(UNSURE))
    notes = []
    for reason, count in reasons.items():
        if not reason.startswith(UNSURE):
            what = "It has no label" if total == 1 else f"{count} of {total} utterances have no label"
            notes.append(f"{what}: {reason}.")
    if rule is None:
        return notes
    if rule.compares and any(each.arousal is not None and not each.probabilities for each in predictions):
        notes.append("Without enough of a speaker, arousal is less reliable: there is little to compare a voice with.")
    if unsure:
        what = "It is" if total == 1 else f"{unsure} of {total} utterances are"
        notes.append(f"{what} unsure, without a label: no probability is {rule.unsure_below:g} or more.")
    if any(prediction.probabilities for prediction in predictions):
        if rule.prior is not None:
            notes.append(f"{described_prior(rule.priors(known))} (--prior even, prior='even': none).")
        hidden = [label for label in known if label not in recognizer.answers.labels]
        if hidden:
            notes.append(f"Labels on request: {', '.join(hidden)} (--labels all, labels='all').")
    return notes
