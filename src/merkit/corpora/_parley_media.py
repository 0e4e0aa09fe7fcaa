"""Parley's recordings: one WAV file per conversation, its transcript and its true word and phone times.

The alignment is written last and holds the hash of the recording: a conversation whose alignment exists and agrees is
complete and is not made again.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float32

from merkit.core.alignment import Interval
from merkit.corpora._parley_cast import VOICES
from merkit.corpora._parley_options import ParleyOptions
from merkit.corpora._parley_plan import PlannedConversation
from merkit.corpora._parley_voice import RATE_HZ, Speech, speak
from merkit.data.files import atomic_path, file_hash, write_texts

HEADROOM = 0.7
"""Factor on all speech, so that speech and noise stay below full scale."""
_MARGIN_S = 0.3
"""Silence at the end; at the beginning there is the first turn's pause."""


def record(
    conversation: PlannedConversation, folder: Path, options: ParleyOptions, *, noise_seed: int, release: str
) -> list[tuple[float, float]]:
    """Make a conversation's files, unless they are complete; return start and end of each turn.

    ``folder`` gets ``audio/<id>.wav``, ``transcripts/<id>.csv`` and ``alignments/<id>.json``. Another ``release`` of
    the speech engine makes them again.

    Raises:
        MerkitError: The folder cannot be written to, or the speech engine is missing or fails.
    """
    audio = folder / conversation.audio
    alignment = folder / "alignments" / f"{conversation.id}.json"
    transcript = folder / "transcripts" / f"{conversation.id}.csv"
    made_of = conversation.fingerprint(
        snr_db=options.snr_db, channels=options.channels, noise_seed=noise_seed, release=release
    )
    done = _finished(alignment, transcript, audio, made_of)
    if done is not None:
        return done

    spoken = [
        speak(turn.text.split(), VOICES[turn.speaker], turn.manner, turn.stressed, turn.hesitations_ms)
        for turn in conversation.turns
    ]
    samples, starts = _mix(conversation, spoken, options.channels)
    noisy = _with_noise(samples, spoken, options.snr_db, np.random.default_rng(noise_seed))
    with atomic_path(audio) as path:
        soundfile.write(path, noisy, RATE_HZ, subtype="PCM_16", format="WAV")
    times = [(start, start + len(speech.samples) / RATE_HZ) for start, speech in zip(starts, spoken, strict=True)]
    write_texts({transcript: _transcript(conversation, times)})
    content = {
        "conversation": conversation.id,
        "made_of": made_of,
        "audio_hash": file_hash(audio),
        "transcript_hash": file_hash(transcript),
        "utterances": [
            {
                "id": turn.id,
                "start_s": start,
                "end_s": end,
                "words": _shifted(speech.words, start),
                "phones": _shifted(speech.phones, start),
            }
            for turn, speech, (start, end) in zip(conversation.turns, spoken, times, strict=True)
        ],
    }
    write_texts({alignment: json.dumps(content, ensure_ascii=False, indent=1) + "\n"})
    return times


def _finished(alignment: Path, transcript: Path, audio: Path, made_of: str) -> list[tuple[float, float]] | None:
    """Return the times of the turns if the files are complete and of the same plan, otherwise ``None``."""
    if not (alignment.is_file() and transcript.is_file() and audio.is_file()):
        return None
    try:
        content = json.loads(alignment.read_text(encoding="utf-8"))
        recorded = (content["made_of"], content["audio_hash"], content["transcript_hash"])
        times = [(utterance["start_s"], utterance["end_s"]) for utterance in content["utterances"]]
    except (ValueError, KeyError, TypeError):  # damaged: made again
        return None
    return times if recorded == (made_of, file_hash(audio), file_hash(transcript)) else None


def _mix(
    conversation: PlannedConversation, spoken: Sequence[Speech], channels: int
) -> tuple[Float32[np.ndarray, "samples channels"], list[float]]:
    """Place the utterances one after another; return the samples and each one's start in seconds."""
    lengths = np.array([len(speech.samples) for speech in spoken])
    ends = np.cumsum(lengths + [round(turn.pause_s * RATE_HZ) for turn in conversation.turns])
    samples = np.zeros((ends[-1] + round(_MARGIN_S * RATE_HZ), channels), dtype=np.float32)
    for turn, speech, end in zip(conversation.turns, spoken, ends, strict=True):
        samples[end - len(speech.samples) : end, turn.speaker % channels] = HEADROOM * speech.samples
    return samples, ((ends - lengths) / RATE_HZ).tolist()


def _with_noise(
    samples: Float32[np.ndarray, "samples channels"], spoken: Sequence[Speech], snr_db: float, rng: np.random.Generator
) -> Float32[np.ndarray, "samples channels"]:
    power = np.mean(np.concatenate([speech.samples for speech in spoken]).astype(np.float64) ** 2) * HEADROOM**2
    noise = rng.normal(0, np.sqrt(power) * 10 ** (-snr_db / 20), size=samples.shape)
    return np.clip(samples + noise, -1, 1 - 2**-15).astype(np.float32)


def _transcript(conversation: PlannedConversation, times: Sequence[tuple[float, float]]) -> str:
    """Return the transcript as CSV: start and end in seconds, speaker, text."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("start_s", "end_s", "speaker", "text"))
    for turn, (start, end) in zip(conversation.turns, times, strict=True):
        writer.writerow((f"{start:.4f}", f"{end:.4f}", speaker_name(turn.speaker), turn.text))
    return table.getvalue()


def speaker_name(index: int) -> str:
    """Return the speaker's name in the manifest and the transcripts."""
    return f"s{index + 1:02d}"


def _shifted(intervals: Sequence[Interval], start_s: float) -> list[dict[str, Any]]:
    """Return intervals as JSON values, in seconds of the recording."""
    return [
        {"label": each.label, "start_s": round(start_s + each.start_s, 4), "end_s": round(start_s + each.end_s, 4)}
        for each in intervals
    ]
