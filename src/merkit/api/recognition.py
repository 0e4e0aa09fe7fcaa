"""Recognise emotion: load a checkpoint, then call it with recordings, texts or rows of a table."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from merkit.api.inputs import as_columns, as_recording, as_source, checked_text
from merkit.api.predictions import Predictions
from merkit.core.arguments import checked_arguments
from merkit.core.encoder import describe_unread
from merkit.core.errors import ConfigError
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import conversation_turns, read_manifest
from merkit.data.corpus.rows import to_utterances
from merkit.encoders.networks.files import download_snapshot
from merkit.inference.joined import load_predictor
from merkit.inference.languages import has_foreign_words
from merkit.inference.predictor import Predictor
from merkit.io.decision_rule import DecisionOptions
from merkit.recordings.alignment import align_turns
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.decision_notes import describe_decisions
from merkit.recordings.live.segments import live_segments
from merkit.recordings.options import RecordingOptions
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.models import BUILTIN, default_engine, open_engine
from merkit.recordings.speakers.pipelines import Diarization
from merkit.recordings.transcripts import Line, spoken_text
from merkit.timeline.analysis import Analysis, LiveSegment
from merkit.weights.models import DEFAULT, PREFIX, built_in_model

_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)@(.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHECKPOINT_FILES = (
    "config.json",
    "model.safetensors",
    "provenance.json",
    "trained-on.txt",
    "README.md",
    "encoders/**",
)


class EmotionRecognizer:
    """A loaded checkpoint. Calls write no file and change nothing in it, so that threads may share one."""

    def __init__(self, recognizer: Predictor, name: str, engine: Engine | None = None) -> None:
        self._recognizer = recognizer
        self._name = name
        self._engine = engine

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its predictions, in the order of class numbers."""
        return self._recognizer.decisions.labels

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities that it reads."""
        return tuple(sorted(self._recognizer.reads))

    @property
    def device(self) -> str:
        """The torch device that it runs on."""
        return str(self._recognizer.device)

    def __repr__(self) -> str:
        return f"EmotionRecognizer('{self._name}': {' and '.join(self.reads)} -> {', '.join(self.labels)})"

    @checked_arguments
    def __call__(
        self,
        recording: Any,
        *,
        rate_hz: int | None = None,
        transcript: str | Path | None = None,
        text: str | None = None,
        track: int | None = None,
        channels: str = "auto",
        speakers_file: str | Path | None = None,
        speakers: int | None = None,
        marks: Mapping[str, tuple[float, float]] | None = None,
        diarization: Diarization | None = None,
        window_s: float | None = None,
        exclude_speakers: Sequence[str] = (),
        language: str | None = None,
        modalities: Sequence[str] | None = None,
        redact: bool = False,
        speech_check: bool = True,
        asr: bool | str | Path | None = None,
    ) -> Analysis:
        """Recognise the utterances of a recording.

        Without a transcript and ``asr`` a recording of over 15 s or of several speakers is cut where the speaker
        changes, at pauses of 0.6 s, and to 15 s; a shorter one too for a model that compares a voice with the speaker's
        own average. Sound without speech (silence, noise, music) is left out: its utterance is labelled from its words,
        or has no label where it has none. What each stage did is in the result's ``stages``.

        Args:
            recording: A path, the bytes of an audio or video file, a binary file object, a `Waveform`, or samples
                ``[samples]`` or ``[channels, samples]`` as a NumPy array or torch tensor.
            rate_hz: The rate of samples; only for samples.
            transcript: A file in any format of the page "Transcripts" (SRT, WebVTT, JSON, CSV, …), or the text of the
                whole recording (.txt). What was cut, joined or left out is in the result's notes.
            text: The words of the recording, in place of a transcript.
            track: Which audio track of a file that has several, from 1; ``None``: the first one.
            channels: ``auto`` takes two channels that differ for two speakers and mixes those of the same sound.
                ``mix`` reads the mean of all channels, ``left`` and ``right`` one of two. ``split`` reads each channel
                as a speaker of its own; equal ones are refused. A transcript's speaker is read from the louder one.
            speakers_file: Who speaks when: RTTM, a transcript in any format, or a table with start, end and speaker.
            speakers: How many speakers there are on one channel, for speaker diarization by their voices. Experimental;
                the measured error is in the result's stages. The number is never guessed.
            marks: In place of ``speakers``, by the name of each where that one alone is heard, in seconds:
                ``{"Ann": (12.0, 17.5), "Ben": (31.0, 34.0)}``.
            diarization: A pipeline of pyannote.audio, or any callable of its interface, which returns an object with
                ``itertracks(yield_label=True)``. It says who speaks when, with ``speakers`` as ``num_speakers``.
            window_s: Reads longer speech without words in windows of so many seconds, which overlap by half; where two
                overlap the result has the mean of both. ``None``: speech is cut to 15 s.
            exclude_speakers: Speakers whose voices and words reach no recogniser and no result.
            language: Of the words, a code such as ``en``; ``None``: as the transcript states it or the recogniser finds
                it. Words in a language that the model was not trained on, as far as it states that, are missing to it.
            modalities: What the model may read, such as ``["audio"]``; ``None``: all that it reads.
            redact: ``True`` leaves all words out of the result.
            speech_check: ``False`` leaves no sound out, for a model of other sounds than speech.
            asr: ``True`` recognises words where there is no transcript, with ``builtin:whisper-base``; a name chooses
                another recogniser, as in `merkit.transcribe`. The recognised lines are the utterances.
                ``None``: ``True`` for a model that joins words and voice, where the extra ``asr`` is installed.

        Raises:
            MerkitError: The recording, its rate, the transcript, the channels or the recogniser cannot be used.
        """
        sound, name = as_recording(recording, rate_hz)
        lines: Path | list[Line] | None = None if transcript is None else Path(transcript)
        if text is not None:
            if transcript is not None:
                raise ConfigError("transcript and text were given: a recording has one of them")
            lines = [Line(None, None, "", spoken_text(checked_text(text)))]
        engine = self._engine if asr is None else None
        if asr:
            engine = open_engine(BUILTIN if asr is True else asr)
        return analyze_recording(
            self._recognizer,
            sound,
            lines,
            self._name,
            RecordingOptions(
                track=track,
                channels=channels,
                speech_check=speech_check,
                speakers_file=None if speakers_file is None else Path(speakers_file),
                speakers=speakers,
                marks=dict(marks or {}),
                window_s=window_s,
                exclude_speakers=tuple(exclude_speakers),
                language=language,
                modalities=None if modalities is None else tuple(modalities),
                redact=redact,
            ),
            engine=engine,
            diarization=diarization,
            name=name,
        )

    @checked_arguments
    def live(
        self,
        sound: Any = None,
        *,
        rate_hz: int = 16_000,
        channel_count: int = 1,
        channels: str = "auto",
        exclude_speakers: Sequence[str] = (),
        language: str | None = None,
        modalities: Sequence[str] | None = None,
        redact: bool = False,
        asr: bool | str | Path = False,
    ) -> Iterator[LiveSegment]:
        """Label each turn of live speech soon after it ends, which it does at a pause of 0.3 s or after 15 s.

        A label is that of an analysis of the sound up to the turn, cut into the same turns. Two channels are two
        speakers, without the comparison of a recording's channels. Sound is discarded after its turn.

        Args:
            sound: ``None``: the microphone (extra ``live``); a binary file or pipe of raw PCM, 16 bits, little endian;
                or arrays ``[samples]`` or ``[channels, samples]`` as they arrive.
            rate_hz: Samples per second.
            channel_count: How many channels the sound has.
            channels: As of a recording; ``auto`` reads two as two speakers, and the mean of more.
            exclude_speakers: ``left`` or ``right``, where channels are speakers.
            language: As of a recording; ``None``: that of the first turn.
            modalities: As of a recording.
            redact: As of a recording.
            asr: ``True`` recognises the words of each turn; a name chooses a recogniser. Labels then come later.

        Raises:
            MerkitError: The model reads the turns that follow one, the sound or an option cannot be used; while
                iterating, the sound cannot be read.
        """
        engine = open_engine(BUILTIN if asr is True else asr) if asr else None
        options = RecordingOptions(
            channels=channels,
            exclude_speakers=tuple(exclude_speakers),
            language=language,
            modalities=None if modalities is None else tuple(modalities),
            redact=redact,
        )
        source = as_source(sound, rate_hz, channel_count)
        return live_segments(self._recognizer, source, self._name, options, engine=engine)

    @checked_arguments
    def texts(self, texts: Iterable[str], speakers: Iterable[str] | None = None) -> Predictions:
        """Predict texts; to a model that reads context or conversations they are the turns of one conversation.

        Args:
            texts: One text per utterance, in order of turn.
            speakers: The speaker of each text; ``None``: unknown, which counts as one speaker.

        Raises:
            ConfigError: ``texts`` or ``speakers`` is no list of texts, they have other lengths, or the model reads no
                text.
        """
        if "text" not in self._recognizer.reads:
            raise ConfigError(f"'{self._name}' reads {' and '.join(self.reads)}, no text")
        texts = list(texts)
        speakers = [""] * len(texts) if speakers is None else list(speakers)
        if len(speakers) != len(texts):
            raise ConfigError(f"{len(texts)} texts and {len(speakers)} speakers were given: expected one for each text")
        return self._predict(
            [
                Utterance(str(turn), "texts", turn, speaker, text=checked_text(text))
                for turn, (text, speaker) in enumerate(zip(texts, speakers, strict=True))
            ],
            Path(),
        )

    @checked_arguments
    def predict(self, rows: Any, *, features: str | Path | None = None, batch_size: int = 32) -> Predictions:
        """Predict the rows of a table, or the utterances of a corpus.

        Args:
            rows: A pandas data frame or a list of dictionaries with the columns of a manifest (``text``, ``audio``,
                ``conversation``, ``speaker``, …; ``id`` defaults to the row's number; ``audio`` may hold `Waveform`),
                or the folder of a manifest. Relative paths are relative to the working directory, or to that folder.
            features: Folder of stored features to read and fill; ``None``: extract in memory, write nothing.
            batch_size: Items per batch; changes no prediction.

        Raises:
            MerkitError: The rows break the rules of a manifest (all mistakes are listed), or hold nothing that the
                model reads.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        store = None if features is None else Path(features)
        if isinstance(rows, str | os.PathLike):
            manifest = read_manifest(Path(rows))
            return self._predict(manifest.utterances, manifest.root, store, batch_size, aligned=True)
        return self._predict(to_utterances(as_columns(rows), "rows"), Path(), store, batch_size)

    def _predict(
        self,
        utterances: Sequence[Utterance],
        root: Path,
        features: Path | None = None,
        batch_size: int = 32,
        aligned: bool = False,
    ) -> Predictions:
        recognizer = self._recognizer
        turns = list(conversation_turns(utterances, root, *recognizer.reach))
        segments, note = (None, None) if aligned else align_turns(recognizer.request, turns)
        by_id = {
            prediction.id: prediction
            for prediction in recognizer.predict_turns(
                turns, features=features, segments=segments, batch_size=batch_size
            )
        }
        foreign = any(has_foreign_words(utterance, recognizer.languages) for utterance in utterances)
        if by_id and self.reads and not foreign and not any(each.modalities for each in by_id.values()):
            raise ConfigError(f"'{self._name}' reads {' and '.join(self.reads)}, which no row has")
        unread = describe_unread(recognizer.encoders.values(), turns)
        predictions = tuple(by_id[utterance.id] for utterance in utterances)
        notes = tuple(each for each in (note, unread) if each is not None)
        notes += tuple(describe_decisions(recognizer, predictions, len(predictions)))
        decisions = recognizer.decisions
        return Predictions(self.labels, predictions, tuple(utterances), notes, decisions.rule, decisions.multi_label)


@checked_arguments
def load(
    checkpoint: str | Path = DEFAULT,
    device: str | torch.device = "auto",
    *,
    data: str | Path | None = None,
    labels: str | Sequence[str] | None = None,
    prior: str | Mapping[str, float] | None = None,
) -> EmotionRecognizer:
    """Load a trained model.

    Args:
        checkpoint: The name of a built-in model, such as ``builtin:conversation-en``; the folder ``checkpoint`` of a
            run; or ``org/name@REVISION`` of the Hugging Face hub with the 40 hexadecimal digits of a commit, so that
            the model never changes unseen.
        device: A torch device such as ``cpu`` or ``cuda:1``; ``auto``: the machine's accelerator, or else the CPU.
        data: The folder of a manifest, for a model that reads published features.
        labels: For a model with a decision rule, as built-in ones have: the labels that it may give, or ``"all"``;
            ``None``: those that the model shows by default.
        prior: For such a model: how probable labels are before anything is read, by label (those that are not named
            share the rest evenly), or ``"even"``; ``None``: the model's.

    Raises:
        MerkitError: There is no such model, it is incomplete or newer than this merkit, the device is missing, or
            ``labels`` or ``prior`` do not fit the model.
    """
    name = os.fspath(checkpoint)
    folder, options = None if data is None else Path(data), DecisionOptions(labels, prior)
    path = checkpoint_folder(name)
    recognizer = load_predictor(path, folder, device, options=options, name=name)
    return EmotionRecognizer(recognizer, name, default_engine(path))


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a checkpoint as `load` takes it; one of the hub is downloaded.

    Raises:
        MerkitError: There is no such built-in model, or the hub's has no commit or cannot be downloaded.
    """
    if name.startswith(PREFIX):
        return built_in_model(name)
    hub = _HUB.fullmatch(name)
    if hub is None or Path(name).exists():
        return Path(name)
    repository, revision = hub.groups()
    if not _COMMIT.fullmatch(revision):
        raise ConfigError(
            f"'{name}': a model of the hub needs the 40 hexadecimal digits of a commit behind the @, so that it never "
            f"changes unseen; found '{revision}'"
        )
    return download_snapshot(repository, revision, _CHECKPOINT_FILES)
