"""CPU seconds for an hour of sound by stage of `merkit analyze`, beside those of the libraries' own pipelines: JSON.

Run `python benchmarks/recordings.py RECORDING [--minutes 5]`, with a call in stereo. Both sides read the same mix of
its channels, in one process and in the same run, with the same weights and one thread:

* speech: this package beside `silero_vad.get_speech_timestamps`;
* words: this package's engine beside `faster_whisper.WhisperModel.transcribe` (int8, five beams, times of words, its
  own check for speech);
* labels: `builtin:voice` beside a pipeline `audio-classification` of transformers on the same encoder (Whisper base,
  with an untrained head), utterance by utterance.

CPU seconds are those of the process, which other work on the machine does not change much; loading is not counted.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import merkit
from merkit.core.types import Turn, Utterance, turns_of
from merkit.core.waveform import Waveform
from merkit.data.media.audio import duration_s, read_audio
from merkit.inference.joined import load_predictor
from merkit.recordings.channels import choose_channels
from merkit.recordings.division import divide
from merkit.recordings.options import RecordingOptions
from merkit.recordings.pieces import cut, predict_pieces
from merkit.recordings.recognition.models import open_engine
from merkit.recordings.recognition.recognise import recognise
from merkit.recordings.speakers.diarization import diarize
from merkit.recordings.speech import speech_regions
from merkit.weights.folders import network_folder, recognizer_folder
from merkit.weights.models import built_in_model

RATE_HZ = 16_000


def cpu_s(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds that something takes, and what it returns."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def their_words(samples: np.ndarray, language: str) -> Callable[[], Any]:
    """Return faster-whisper's own pipeline over samples."""
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(recognizer_folder("builtin:whisper-base")), device="cpu", compute_type="int8", cpu_threads=1
    )
    return lambda: list(model.transcribe(samples, language=language, word_timestamps=True, vad_filter=True)[0])


def their_labels(pieces: list[np.ndarray]) -> Callable[[], Any]:
    """Return transformers' own pipeline over the samples of utterances."""
    from transformers import AutoFeatureExtractor, WhisperForAudioClassification, pipeline

    folder = network_folder("builtin:whisper-base")
    model = WhisperForAudioClassification.from_pretrained(folder).eval()
    classify = pipeline(
        "audio-classification",
        model=model,
        feature_extractor=AutoFeatureExtractor.from_pretrained(folder),
        device="cpu",
    )
    return lambda: [classify({"raw": piece, "sampling_rate": RATE_HZ}) for piece in pieces]


def main() -> int:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the recording")
    parser.add_argument("--language", default="en")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    whole = merkit.Waveform(read_audio(arguments.recording, RATE_HZ, 0.0, 60 * arguments.minutes), RATE_HZ)
    samples = whole.samples
    short = Waveform(samples[: 20 * RATE_HZ], RATE_HZ)
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}

    ours["channels"], _ = cpu_s(lambda: choose_channels(arguments.recording, "auto"))
    ours["channels"] *= whole.duration_s / duration_s(arguments.recording)  # all of it is read
    speech_regions(short)
    ours["speech"], regions = cpu_s(lambda: speech_regions(whole))
    ours["speakers"], _ = cpu_s(lambda: diarize(whole, regions, 2))
    engine = open_engine()
    recognise(engine, short, language=arguments.language)
    ours["words"], _ = cpu_s(lambda: recognise(engine, whole, language=arguments.language))
    division = divide(whole, None, RecordingOptions(), always_cut=True)
    utterances = [
        Utterance(f"{number}", "call", number, "", audio=whole, start_s=line.start_s, end_s=line.end_s)
        for number, (line, _) in enumerate(division.lines)
    ]
    voice = load_predictor(built_in_model("builtin:voice"))
    warm: list[Turn] = list(turns_of(utterances[:2], Path()))
    list(voice.predict_turns(warm))
    ids = [utterance.id for utterance in utterances]
    ours["labels"], _ = cpu_s(
        lambda: predict_pieces(voice, cut(utterances, whole.duration_s), utterances, ids, {}, features={})
    )

    from silero_vad import get_speech_timestamps, load_silero_vad

    torch.set_num_threads(1)
    detector = load_silero_vad()
    get_speech_timestamps(torch.from_numpy(short.samples.copy()), detector)
    theirs["speech"], _ = cpu_s(lambda: get_speech_timestamps(torch.from_numpy(samples.copy()), detector))
    transcribe = their_words(samples, arguments.language)
    theirs["words"], _ = cpu_s(transcribe)
    pieces = [
        samples[round((each.start_s or 0.0) * RATE_HZ) : round((each.end_s or 0.0) * RATE_HZ)] for each in utterances
    ]
    their_labels(pieces[:1])()
    theirs["labels"], _ = cpu_s(their_labels(pieces))

    per_hour = 3600 / whole.duration_s
    rows = {
        stage: {
            "ours_s_per_h": round(seconds * per_hour, 1),
            **(
                {"theirs_s_per_h": round(theirs[stage] * per_hour, 1), "ratio": round(theirs[stage] / seconds, 2)}
                if stage in theirs
                else {}
            ),
        }
        for stage, seconds in ours.items()
    }
    both = [stage for stage in ours if stage in theirs]
    total = sum(theirs[stage] for stage in both) / sum(ours[stage] for stage in both)
    result = {"seconds": whole.duration_s, "utterances": len(utterances), "stages": rows, "ratio": round(total, 2)}
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
