"""Label the utterances of a recording, with or without a transcript."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from merkit.core.encoder import describe_unread
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.phrases import number_of
from merkit.core.progress import ProgressCallback
from merkit.core.types import Prediction, Utterance, turns_of
from merkit.core.waveform import Channel, Track, Waveform, Whole
from merkit.data.files import file_hash
from merkit.data.media.audio import Recording, duration_s, media_notes
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.inference.languages import has_foreign_words
from merkit.inference.predictor import Predictor
from merkit.recordings.alignment import align_turns
from merkit.recordings.decision_notes import describe_decisions, describe_reference
from merkit.recordings.division import divide
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.pieces import Pieces, cut, predict_pieces
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.speakers.pipelines import Diarization
from merkit.recordings.speech import describe_check, describe_unheard, without_unheard
from merkit.recordings.transcripts import Line, Transcript, fit_lines, read_transcript
from merkit.recordings.unfinished import Unfinished, in_memory
from merkit.recordings.windows import windows_of
from merkit.timeline.analysis import STAGES, Analysis, Segment
from merkit.timeline.peaks import peaks_of
from merkit.timeline.reasons import NO_WORDS


def analyze_recording(
    recognizer: Predictor,
    recording: Path | Waveform,
    transcript: Path | Sequence[Line] | None,
    checkpoint: str,
    options: RecordingOptions = DEFAULT_OPTIONS,
    *,
    engine: Engine | None = None,
    diarization: Diarization | None = None,
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
        diarization: The user's, which says who speaks when; ``None``: see `find_speakers`.
        name: What a recording in memory is called.
        progress: Called as each stage proceeds.
        work: Keeps what is finished, so that a killed analysis goes on; ``None``: nothing is kept.

    Raises:
        MerkitError: The recording or the transcript cannot be read, or the checkpoint needs more than they hold.
    """
    path = recording if isinstance(recording, Path) else Path(name)
    sound = _chosen_track(recording, options.track)
    length_s = duration_s(sound)
    work = work or in_memory(length_s)
    fitted = _fitted(transcript, path.stem, length_s)
    lines = None if fitted is None else fitted.lines
    reads = chosen_modalities(recognizer, checkpoint, options)
    hears, reads_text = recognizer.hears and "audio" in reads, "text" in reads
    if lines is None and engine is None and reads == {"text"}:
        raise MerkitError(f"'{checkpoint}' reads text alone: give a transcript, or recognise words (--asr, asr=True).")
    rule = recognizer.decisions.rule
    compares = rule is not None and rule.compares
    untimed = lines is not None and all(line.start_s is None for line in lines)
    untimed = untimed and compares and not reads_text
    if untimed:
        lines, engine = None, None  # words without times are one utterance, and say nothing to a model of sound
    division = divide(
        sound,
        lines,
        options,
        engine=engine,
        language=None if fitted is None else fitted.language,
        diarization=diarization,
        always_cut=compares,
        name=path.stem,
        progress=progress,
        work=work,
    )
    windows = windows_of(division.lines, options.window_s)

    utterances_of = partial(_utterances, path.stem, division.language, text=reads_text, audio=hears)
    utterances = utterances_of(windows.read)
    foreign = any(has_foreign_words(utterance, recognizer.languages) for utterance in utterances)
    shown = [(line, windows.read[numbers[0]][1]) for line, numbers in windows.shown]
    compared = utterances_of(shown, "shown ") if len(shown) != len(utterances) else None
    pieces = cut(utterances, length_s) if hears else Pieces({each.id: [each] for each in utterances})
    checked = hears and options.speech_check and not division.is_speech
    heard, unheard = without_unheard(pieces.all) if checked else (pieces.all, {})
    reasons = {
        name: unheard[own[0].id] for name, own in pieces.pieces.items() if all(piece.id in unheard for piece in own)
    }
    wordless = {u.id for u in utterances if not (reads_text and (u.text or "").strip())}
    if reads == {"text"}:
        reasons = dict.fromkeys(wordless, NO_WORDS)
    nothing = reasons.keys() & wordless
    turns = list(turns_of(utterances, Path(), *recognizer.reach))
    uncut = [piece for piece in heard if piece.id in pieces.pieces]
    times, unaligned = align_turns(recognizer.request, list(turns_of(uncut, Path())))
    wanted = [utterance.id for utterance in utterances if utterance.id not in nothing]
    found: Mapping[str, Prediction] = {}
    if wanted:
        found = predict_pieces(recognizer, pieces, heard, wanted, times, work.features, progress, compared)
    segments = [
        _segment(
            line, windows.read[numbers[0]][1], numbers, recognizer, found, reasons, length_s, redact=options.redact
        )
        for line, numbers in windows.shown
    ]
    unheard_lines = {
        str(turn): reasons[str(numbers[0])]
        for turn, (_, numbers) in enumerate(windows.shown)
        if all(str(number) in reasons for number in numbers)
    }
    unlabelled = {name for name in unheard_lines if segments[int(name)].prediction is None}
    if found and reads and not foreign and not any(prediction.modalities for prediction in found.values()):
        listed = " and ".join(sorted(reads))
        raise MerkitError(f"'{checkpoint}' reads {listed}, and '{path}' has no such input for it: use another model.")
    notes = [f"About the recording: {note}." for note in media_notes(sound)]
    notes += [
        *(() if fitted is None else fitted.notes),
        *division.notes,
        *describe_unheard(unheard_lines, unlabelled, len(segments)),
    ]
    notes += [*pieces.notes, *_notes(recognizer, reads, division.has_words, foreign, segments)]
    unread = describe_unread(
        recognizer.encoders.values(), turns, lambda turn: f"from {turn.utterance.start_s or 0.0:.2f} s"
    )
    notes += [note for note in (unaligned, unread) if note is not None]
    what = {
        "speech": describe_check(checked, unheard_lines, len(segments)),
        **division.stages,
        "model": _model(checkpoint, reads, segments),
    }
    if untimed:
        what["words"] = "None are read: the transcript has no times, and the model reads sound alone."
    if compared is not None:
        what["utterances"] += f" Longer than {options.window_s:g} s: in windows of that length, which overlap by half."
    if options.redact and any(line.text is not None for line, _ in division.lines):
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
        track=options.track,
        in_memory=isinstance(recording, Waveform),
        peaks=peaks_of(recording) if isinstance(recording, Waveform) and not options.exclude_speakers else None,
        transcript=transcript if isinstance(transcript, Path) else None,
        transcript_hash=file_hash(transcript) if isinstance(transcript, Path) else None,
        stages={stage: what[stage] for stage in STAGES},
        excludes_speakers=bool(options.exclude_speakers),
    )


def _fitted(transcript: Path | Sequence[Line] | None, stem: str, length_s: float) -> Transcript | None:
    """Return a transcript with lines within the recording; ``None``: there is none."""
    if transcript is None:
        return None
    read = read_transcript(transcript, stem) if isinstance(transcript, Path) else transcript
    return fit_lines(read if isinstance(read, Transcript) else Transcript(tuple(read)), length_s)


def _utterances(
    conversation: str,
    language: str | None,
    lines: Sequence[tuple[Line, Recording]],
    prefix: str = "",
    *,
    text: bool,
    audio: bool,
) -> list[Utterance]:
    """Return lines as the utterances of a conversation, with what the model reads of them."""
    return [
        Utterance(
            id=f"{prefix}{turn}",
            conversation=conversation,
            turn=turn,
            speaker=line.speaker,
            text=line.text if text else None,
            audio=(str(sound.resolve()) if isinstance(sound, Path) else sound) if audio else None,
            start_s=line.start_s,
            end_s=line.end_s,
            language=language,
        )
        for turn, (line, sound) in enumerate(lines)
    ]


def _segment(
    line: Line,
    sound: Recording,
    numbers: Sequence[int],
    recognizer: Predictor,
    found: Mapping[str, Prediction],
    reasons: Mapping[str, str],
    length_s: float,
    *,
    redact: bool,
) -> Segment:
    """Return a line of the timeline with the mean of the predictions of the utterances ``numbers``."""
    parts = [found[str(number)] for number in numbers if str(number) in found]
    prediction = recognizer.averaged(parts) if parts else None
    return Segment(
        start_s=line.start_s or 0.0,
        end_s=length_s if line.end_s is None else line.end_s,
        speaker=line.speaker,
        text=None if redact else line.text,
        prediction=prediction,
        reason=reasons[str(numbers[0])] if prediction is None else prediction.reason,
        channel=sound.number + 1 if isinstance(sound, Channel) else None,
    )


def _chosen_track(recording: Path | Waveform, track: int | None) -> Whole:
    if track is None:
        return recording
    if not isinstance(recording, Path):
        raise ConfigError(f"track {track}: only a file has tracks")
    return Track(recording, track)


def chosen_modalities(recognizer: Predictor, checkpoint: str, options: RecordingOptions) -> frozenset[str]:
    """Return the modalities that the model reads of those that it may read.

    Raises:
        ConfigError: There are none.
    """
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


def _notes(
    recognizer: Predictor, reads: frozenset[str], transcribed: bool, foreign: bool, segments: Sequence[Segment]
) -> list[str]:
    notes = []
    used = {modality for segment in segments for modality in segment.modalities}
    used |= {modality for segment in segments for each in segment.sources.values() for modality in each.modalities}
    labelled = any(segment.prediction is not None for segment in segments)
    explained = {"text"} if foreign else set()  # by a note of the decisions
    for modality in sorted(reads - used - explained if labelled else ()):
        hint = "; a transcript or --asr (asr=True) would add it" if modality == "text" and not transcribed else ""
        notes.append(f"The model also reads {modality}, which is missing: it predicts from the rest{hint}.")
    predicted = [segment.prediction for segment in segments if segment.prediction is not None]
    notes += describe_reference(recognizer, predicted, [segment.speaker for segment in segments])
    return notes + describe_decisions(recognizer, predicted, len(segments))
