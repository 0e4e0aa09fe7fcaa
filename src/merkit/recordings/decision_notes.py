"""Notes on what predictions leave out and what they assume: of a model with a decision rule, or of several labels."""

from collections import Counter
from collections.abc import Sequence

from merkit.core.phrases import number_of
from merkit.core.types import Prediction
from merkit.inference.predictor import Predictor
from merkit.io.decision_rule import described_prior
from merkit.io.joined import VOICE


def describe_reference(recognizer: Predictor, predictions: Sequence[Prediction], speakers: Sequence[str]) -> list[str]:
    """Return notes on what the utterances of a recording are compared with; ``speakers`` are theirs, if known."""
    if not recognizer.compares_speakers or not predictions:
        return []
    notes = ["Sound is compared with the speaker's own average over this recording alone."]
    rule = recognizer.decisions.rule
    if rule is not None and rule.compares:
        notes.append("A mood that lasts the whole recording cannot be seen.")
        if len(speakers) > 1 and not all(speakers):
            notes.append("Utterances without a known speaker count as those of one speaker.")
    return notes


def describe_decisions(recognizer: Predictor, predictions: Sequence[Prediction], total: int) -> list[str]:
    """Return notes on the labels of predictions; none where the model always gives one.

    Args:
        recognizer: The model.
        predictions: Of the utterances that it was asked for.
        total: How many utterances there are.
    """
    recognizer = recognizer.answering(predictions)
    rule, known = recognizer.decisions.rule, recognizer.labels
    unsure = sum(prediction.is_unsure for prediction in predictions)
    reasons = Counter(each.reason for each in predictions if each.label is None and not each.is_unsure)
    notes = []
    for reason, count in reasons.items():
        what = "It has no label" if total == 1 else f"{count} of {total} utterances have no label"
        notes.append(f"{what}: {reason}.")
    if rule is None:
        return notes
    silent = Counter(
        (name, each.reason)
        for prediction in predictions
        for name, each in prediction.sources.items()
        if not each.probabilities and each.reason != prediction.reason
    )
    for (name, reason), count in silent.items():
        notes.append(f"Without the {name} in {count} of {number_of(total, 'utterance')}: {reason}.")
    heard = [each.sources.get(VOICE, each) for each in predictions]
    if rule.compares and any(each.arousal is not None and not each.probabilities for each in heard):
        notes.append("Without enough of a speaker, arousal is less reliable: there is little to compare a voice with.")
    if unsure:
        what = "It is" if total == 1 else f"{unsure} of {total} utterances are"
        notes.append(f"{what} unsure, without a label: no probability is {rule.unsure_below:g} or more.")
    if any(prediction.probabilities for prediction in predictions):
        if rule.prior is not None:
            notes.append(f"{described_prior(rule.priors(known))} (--prior even, prior='even': none).")
        hidden = [label for label in known if label not in recognizer.decisions.labels]
        if hidden:
            notes.append(f"Labels on request: {', '.join(hidden)} (--labels all, labels='all').")
    return notes
