"""Label the utterances of a recording, with or without a transcript."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from merkit.core.encoder import describe_unread
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.phrases import number_of
from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Utterance, turns_of
from merkit.core.waveform import Waveform
from merkit.data.files import file_hash
from merkit.data.media.audio import duration_s, media_notes
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.inference.predictor import Predictor
from merkit.io.decision_rule import DecisionRule
from merkit.io.predictions import LABEL_SEPARATOR, PROBABILITY
from merkit.recordings.alignment import align_turns
from merkit.recordings.decision_notes import describe_decisions, describe_reference
from merkit.recordings.division import divide
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.pieces import Pieces, cut, predict_pieces
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.speech import describe_check, describe_unheard, without_unheard
from merkit.recordings.tabular import Tabular
from merkit.recordings.timeline.document import timeline_values
from merkit.recordings.timeline.summary import Summary, summarize
from merkit.recordings.transcripts import Line, Transcript, fit_lines, read_transcript
from merkit.recordings.unfinished import Unfinished, in_memory

STAGES = ("channels", "speech", "speakers", "words", "utterances", "model")
"""From a recording to its labels, in order."""


@dataclass(frozen=True)
class Segment:
    """One utterance of a recording and its prediction.

    An utterance that says nothing to the model has no label, and ``reason`` says why. A label is never made up. Nor has
    one where the model's decision rule gives none; its prediction then has what is known.
    """

    start_s: float
    end_s: float
    speaker: str
    text: str | None
    prediction: Prediction | None
    """``None``: there was nothing to predict from."""
    reason: str | None = None
    """Why it has no label, such as ``no speech``; ``None``: it has one."""

    @property
    def label(self) -> str | None:
        """The predicted label, if any."""
        return None if self.prediction is None else self.prediction.label

    @property
    def labels(self) -> tuple[str, ...]:
        """All predicted labels: one at most, but for a model of several labels per utterance."""
        if self.prediction is None:
            return ()
        if self.prediction.labels is not None:
            return self.prediction.labels
        return () if self.prediction.label is None else (self.prediction.label,)

    @property
    def confidence(self) -> float | None:
        """The highest probability, if there are probabilities."""
        return None if self.prediction is None else self.prediction.confidence

    @property
    def arousal(self) -> float | None:
        """The probability that arousal is above the speaker's own average, where the model predicts it."""
        return None if self.prediction is None else self.prediction.arousal

    @property
    def sources(self) -> Mapping[str, Prediction]:
        """What each of several joined models says alone, by its name; empty for one model, and without a prediction."""
        return {} if self.prediction is None else self.prediction.sources

    @property
    def modalities(self) -> tuple[str, ...]:
        """What was present to the model."""
        return () if self.prediction is None else self.prediction.modalities


@dataclass(frozen=True)
class Analysis(Tabular):
    """The labelled utterances of a recording in order, with notes on how far they can be relied on."""

    recording: Path
    """Its file, or the name of a recording in memory."""
    duration_s: float
    checkpoint: str
    labels: tuple[str, ...]
    segments: Sequence[Segment]
    notes: Sequence[str]
    rule: DecisionRule | None = None
    """The decision rule that decided what is said; ``None``: the model has none."""
    multi_label: bool = False
    """Whether an utterance may have several labels."""
    checkpoint_hash: str | None = None
    """Of the checkpoint's files; ``None``: it has none."""
    calibrated: bool = False
    """Whether the probabilities were calibrated on other data than the training's."""
    transcript: Path | None = None
    """The file of the words; ``None``: there is none."""
    transcript_hash: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    """What each of ``STAGES`` did, in order, a sentence each."""
    excludes_speakers: bool = False
    """Whether voices were left out: no sound of the recording may be kept with the result, then."""

    @cached_property
    def summary(self) -> Summary:
        """Talk time, shares of labels, overlaps and turning points."""
        return summarize(self.segments, self.duration_s, self.labels)

    @property
    def has_arousal(self) -> bool:
        """Whether the model predicts arousal."""
        return self.rule is not None and self.rule.arousal

    @property
    def title(self) -> str:
        return f"{self.recording.name}, {self.duration_s:.1f} s"

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "speaker": segment.speaker,
                "text": segment.text,
                **prediction_row(segment.prediction, self.labels, self.has_arousal, self.multi_label),
                "reason": segment.reason,
            }
            for segment in self.segments
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline as JSON values; see `merkit.recordings.timeline.document`."""
        return timeline_values(self)


def prediction_row(
    prediction: Prediction | None, labels: Sequence[str], has_arousal: bool = False, multi_label: bool = False
) -> dict[str, Any]:
    """Return a prediction's columns in the rows of a `Tabular`; ``None`` where it has none of it.

    Several labels are one text, with semicolons between them.
    """
    several = () if prediction is None else prediction.labels or ()
    probabilities = {} if prediction is None else prediction.probabilities
    arousal = None if prediction is None else prediction.arousal
    return {
        "label": None if prediction is None else prediction.label,
        **({"labels": LABEL_SEPARATOR.join(several)} if multi_label else {}),
        "confidence": None if prediction is None else prediction.confidence,
        **({"arousal": arousal} if has_arousal else {}),
        "modalities": "" if prediction is None else ",".join(prediction.modalities),
        **{PROBABILITY + label: probabilities.get(label) for label in labels},
    }


def analyze_recording(
    recognizer: Predictor,
    recording: Path | Waveform,
    transcript: Path | Sequence[Line] | None,
    checkpoint: str,
    options: RecordingOptions = DEFAULT_OPTIONS,
    *,
    engine: Engine | None = None,
    name: str = "waveform",
    progress: ProgressCallback | None = None,
    work: Unfinished | None = None,
) -> Analysis:
    """Recognise every utterance of a recording; nothing is written.

    The utterances are the lines of a transcript with times, those of the words that ``engine`` recognises, or else
    stretches of speech; see `divide`. A modality that the model reads and the recording lacks (text, where there is no
    transcript) is missing to the model, and each segment names the modalities that were present.

    Sound without speech is missing to the model too: an utterance that has words is labelled from them, one that has
    none gets no label. An utterance of over ten minutes of sound is read in pieces, whose probabilities are averaged.

    Args:
        recognizer: The model.
        recording: A file or a waveform.
        transcript: A transcript's file, or its lines.
        checkpoint: What the result says it was made by.
        options: How the recording is read.
        engine: Recognises words where there is no transcript; ``None``: none are recognised.
        name: What a recording in memory is called.
        progress: Called as each stage proceeds.
        work: Keeps what is finished, so that a killed analysis goes on; ``None``: nothing is kept.

    Raises:
        MerkitError: The recording or the transcript cannot be read, or the checkpoint needs more than they hold.
    """
    length_s = duration_s(recording)
    work = work or in_memory(length_s)
    path = recording if isinstance(recording, Path) else Path(name)
    read = read_transcript(transcript, path.stem) if isinstance(transcript, Path) else transcript
    fitted = (
        None if read is None else fit_lines(read if isinstance(read, Transcript) else Transcript(tuple(read)), length_s)
    )
    lines = None if fitted is None else fitted.lines
    reads = _chosen(recognizer, checkpoint, options)
    hears, reads_text = recognizer.hears and "audio" in reads, "text" in reads
    if lines is None and engine is None and reads == {"text"}:
        raise MerkitError(f"'{checkpoint}' reads text alone: give a transcript, or recognise words (--asr, asr=True).")
    rule = recognizer.decisions.rule
    compares = rule is not None and rule.compares
    if compares and lines is not None and not reads_text and all(x.start_s is None for x in lines):
        lines, engine = None, None  # words without times are one utterance, and say nothing to a model of sound
    division = divide(
        recording, lines, options, engine=engine, always_cut=compares, name=name, progress=progress, work=work
    )
    utterances = [
        Utterance(
            id=f"{turn}",
            conversation=path.stem,
            turn=turn,
            speaker=line.speaker,
            text=line.text if reads_text else None,
            audio=(str(sound.resolve()) if isinstance(sound, Path) else sound) if hears else None,
            start_s=line.start_s,
            end_s=line.end_s,
        )
        for turn, (line, sound) in enumerate(division.lines)
    ]
    pieces = cut(utterances, length_s) if hears else Pieces({each.id: [each] for each in utterances})
    checked = hears and options.speech_check and not division.is_speech
    heard, unheard = without_unheard(pieces.all) if checked else (pieces.all, {})
    reasons = {
        name: unheard[own[0].id] for name, own in pieces.pieces.items() if all(piece.id in unheard for piece in own)
    }
    nothing = {u.id for u in utterances if u.id in reasons and not (reads_text and (u.text or "").strip())}
    turns = list(turns_of(utterances, Path(), *recognizer.reach))
    uncut = [piece for piece in heard if piece.id in pieces.pieces]
    times, unaligned = align_turns(recognizer.request, list(turns_of(uncut, Path())))
    wanted = [utterance.id for utterance in utterances if utterance.id not in nothing]
    found = predict_pieces(recognizer, pieces, heard, wanted, times, work.features, progress) if wanted else {}
    segments = [
        Segment(
            start_s=utterance.start_s or 0.0,
            end_s=length_s if utterance.end_s is None else utterance.end_s,
            speaker=utterance.speaker,
            text=None if options.redact else line.text,
            prediction=found.get(utterance.id),
            reason=reasons[utterance.id] if utterance.id in nothing else found[utterance.id].reason,
        )
        for utterance, (line, _) in zip(utterances, division.lines, strict=True)
    ]
    if found and reads and not any(prediction.modalities for prediction in found.values()):
        listed = " and ".join(sorted(reads))
        raise MerkitError(f"'{checkpoint}' reads {listed}, and '{path}' has no such input for it: use another model.")
    notes = [f"About the recording: {note}." for note in media_notes(recording)]
    notes += [
        *(() if fitted is None else fitted.notes),
        *division.notes,
        *describe_unheard(reasons, nothing, len(segments)),
    ]
    notes += [*pieces.notes, *_notes(recognizer, reads, division.has_words, segments)]
    unread = describe_unread(
        recognizer.encoders.values(), turns, lambda turn: f"from {turn.utterance.start_s or 0.0:.2f} s"
    )
    notes += [note for note in (unaligned, unread) if note is not None]
    what = {
        "speech": describe_check(checked, reasons, len(segments)),
        **division.stages,
        "model": _model(checkpoint, reads, segments),
    }
    if options.redact:
        what["words"] += " They are left out of the result."
    return Analysis(
        recording=path,
        duration_s=length_s,
        checkpoint=checkpoint,
        labels=recognizer.decisions.labels,
        segments=segments,
        notes=notes,
        rule=rule,
        checkpoint_hash=None if recognizer.folder is None else checkpoint_hash(recognizer.folder),
        multi_label=recognizer.multi_label,
        calibrated=recognizer.decisions.calibrated,
        transcript=transcript if isinstance(transcript, Path) else None,
        transcript_hash=file_hash(transcript) if isinstance(transcript, Path) else None,
        stages={stage: what[stage] for stage in STAGES},
        excludes_speakers=bool(options.exclude_speakers),
    )


def _chosen(recognizer: Predictor, checkpoint: str, options: RecordingOptions) -> frozenset[str]:
    """Return the modalities that the model reads of those that it may read."""
    if options.modalities is None:
        return recognizer.reads
    reads = recognizer.reads & frozenset(options.modalities)
    if not reads:
        own = " and ".join(sorted(recognizer.reads)) or "nothing"
        raise ConfigError(f"'{checkpoint}' reads {own}, and --modalities {','.join(options.modalities)} leaves nothing")
    return reads


def _model(checkpoint: str, reads: frozenset[str], segments: Sequence[Segment]) -> str:
    labelled = sum(bool(segment.labels) for segment in segments)
    listed = " and ".join(sorted(reads)) or "nothing"
    return f"{checkpoint} reads {listed}; {labelled} of {number_of(len(segments), 'utterance')} labelled."


def _notes(recognizer: Predictor, reads: frozenset[str], transcribed: bool, segments: Sequence[Segment]) -> list[str]:
    notes = []
    used = {modality for segment in segments for modality in segment.modalities}
    labelled = any(segment.prediction is not None for segment in segments)
    for modality in sorted(reads - used if labelled else ()):
        hint = "; a transcript or --asr (asr=True) would add it" if modality == "text" and not transcribed else ""
        notes.append(f"The model also reads {modality}, which is missing: it predicts from the rest{hint}.")
    predicted = [segment.prediction for segment in segments if segment.prediction is not None]
    notes += describe_reference(recognizer, predicted, [segment.speaker for segment in segments])
    return notes + describe_decisions(recognizer, predicted, len(segments))
