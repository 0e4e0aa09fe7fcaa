"""Utterances that are too long to be read at once: cut into pieces, whose probabilities are averaged.

Every model is bounded by this, whatever it does with the frames of an utterance, and so is memory: a recording of two
hours takes as much as one of ten minutes. An utterance of ten minutes and less is read as it is.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Turn, Utterance, turns_of
from merkit.data.dataset import SegmentTier
from merkit.data.features.sources import Features, SpeakerKey, SpeakerStatistics, speaker_key
from merkit.inference.predictor import Predictor

LONGEST_S = 600.0
"""Seconds of sound that are read at once."""
_BATCH_S = 60.0
"""Seconds of sound in a batch of shorter utterances: bounds memory."""


@dataclass(frozen=True)
class Pieces:
    """The pieces of each utterance, in order; most have one, the utterance itself."""

    pieces: Mapping[str, Sequence[Utterance]]
    """By the utterance's id; pieces have ids of their own."""

    @property
    def all(self) -> list[Utterance]:
        """The pieces of all utterances."""
        return [piece for pieces in self.pieces.values() for piece in pieces]

    @property
    def notes(self) -> list[str]:
        """A note where utterances were cut."""
        cut = [pieces for pieces in self.pieces.values() if len(pieces) > 1]
        if not cut:
            return []
        what = "It is" if len(self.pieces) == 1 else f"{len(cut)} of {len(self.pieces)} utterances are"
        return [
            f"{what} longer than {LONGEST_S / 60:.0f} minutes: read in pieces, {max(map(len, cut))} at most, whose "
            "probabilities are averaged. A transcript with times would cut by what is said."
        ]


def cut(utterances: Sequence[Utterance], length_s: float) -> Pieces:
    """Cut every utterance with more than ``LONGEST_S`` of sound into equal pieces; ``length_s`` is the recording's."""
    return Pieces({utterance.id: _pieces(utterance, length_s) for utterance in utterances})


def _pieces(utterance: Utterance, length_s: float) -> list[Utterance]:
    start_s = utterance.start_s or 0.0
    end_s = length_s if utterance.end_s is None else utterance.end_s
    count = math.ceil((end_s - start_s) / LONGEST_S)
    if utterance.audio is None or count <= 1:
        return [utterance]
    edges = [start_s + (end_s - start_s) * number / count for number in range(1, count)]
    starts, ends = [utterance.start_s, *edges], [*edges, utterance.end_s]
    return [
        replace(utterance, id=f"{utterance.id}.{number}", start_s=first, end_s=last)
        for number, (first, last) in enumerate(zip(starts, ends, strict=True))
    ]


def predict_pieces(
    recognizer: Predictor,
    pieces: Pieces,
    heard: Iterable[Utterance],
    wanted: Collection[str],
    segments: Mapping[str, SegmentTier],
    features: Features | None = None,
    progress: ProgressCallback | None = None,
    compared: Sequence[Utterance] | None = None,
) -> dict[str, Prediction]:
    """Return the predictions of the wanted utterances by id.

    A model of conversations reads the conversation once for every piece of its longest utterance, with a piece in the
    utterance's place.

    Args:
        recognizer: The model.
        pieces: Of the utterances of one conversation.
        heard: All pieces, those without sound where it says nothing; they are left out where others of the utterance
            remain.
        wanted: Ids of utterances.
        segments: As of `Predictor.predict_turns`.
        features: As of `Predictor.predict_turns`.
        progress: As of `Predictor.predict_turns`.
        compared: What a speaker's average is taken over; ``None``: all that is read.
    """
    by_id = {piece.id: piece for piece in heard}
    read = {name: [by_id[piece.id] for piece in own] for name, own in pieces.pieces.items()}
    read = {name: [piece for piece in own if piece.audio is not None] or own[:1] for name, own in read.items()}
    counted = list(read.values()) if compared is None else [[each] for each in compared]
    all_turns = _turns(recognizer, [piece for own in counted for piece in own])
    all_read = recognizer.speaker_statistics(all_turns, features, progress)
    statistics = {modality: _by_utterance(own, counted) for modality, own in all_read.items()}
    found: dict[str, list[Prediction]] = {name: [] for name in wanted}
    for number in range(max(map(len, read.values()))):
        names = [name for name in wanted if number < len(read[name])]
        own = [replace(each[min(number, len(each) - 1)], id=name) for name, each in read.items()]
        for prediction in recognizer.predict_turns(
            _turns(recognizer, own),
            wanted=names,
            features=features,
            segments=segments,
            statistics=statistics,
            batch_seconds=_BATCH_S if recognizer.hears else None,
            progress=progress,
        ):
            found[prediction.id].append(prediction)
    return {name: recognizer.averaged(predictions) for name, predictions in found.items()}


def _turns(recognizer: Predictor, utterances: Sequence[Utterance]) -> list[Turn]:
    return list(turns_of(utterances, Path(), *recognizer.reach))


def _by_utterance(
    statistics: Mapping[SpeakerKey, SpeakerStatistics], read: Iterable[Sequence[Utterance]]
) -> dict[SpeakerKey, SpeakerStatistics]:
    """Return speakers' statistics that count the pieces of an utterance as one."""
    extra: Counter[SpeakerKey] = Counter()
    for pieces in read:
        (turn,) = turns_of(pieces[:1], Path())
        extra[speaker_key(turn)] += len(pieces) - 1
    return {key: own._replace(utterances=own.utterances - extra[key]) for key, own in statistics.items()}
