"""Tiny copies of the layouts of real releases: folders and formats are theirs, all words and tones are invented."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest

RATE_HZ = 16_000
IEMOCAP_EMOTIONS = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx")
IEMOCAP_DIALOGS = ("impro01", "impro05", "script01_1", "script02_2")
IEMOCAP_WORDS = ("the", "kettle", "boils", "and", "nobody", "moves", "today", "perhaps", "tomorrow")

_VOTES = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "neu": "Neutral",
    "sad": "Sadness",
    "fru": "Frustration",
    "xxx": "Other",
}


def write_tone(path: Path, frequency_hz: float, duration_s: float = 0.4, amplitude: float = 0.3) -> None:
    """Write a sine as 16-bit WAV, 16 kHz mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    soundfile.write(path, amplitude * np.sin(2 * np.pi * frequency_hz * times), RATE_HZ, subtype="PCM_16")


def write_tones(folder: Path) -> Manifest:
    """Write eight short tones of two labels, four for training and two each for validation and test."""
    utterances = []
    for number in range(8):
        write_tone(folder / f"{number}.wav", 200.0 + 50 * number, 0.1)
        attributes = {"label": "ab"[number % 2], "split": ("train", "train", "valid", "test")[number // 2]}
        name = f"u{number}"
        utterances.append(Utterance(name, name, 0, name, audio=f"{number}.wav", attributes=attributes))
    return write_manifest(folder, utterances, name="tones", version=1)


def write_iemocap(folder: Path, turns: int = 6, dialogs: Sequence[str] = IEMOCAP_DIALOGS) -> int:
    """Write five sessions below ``folder`` as the full release has them and return the number of utterances.

    Each dialog is played twice per session (F and M in its name). Ratings are not in order of time, and transcripts
    hold lines that belong to no utterance, as in the release. Tone and words go with the emotion, so that something
    can be learned; each of the ten speakers has a loudness of their own, so that a voice can be told.
    """
    for session in range(1, 6):
        for side in "FM":
            for number, dialog in enumerate(dialogs):
                _write_dialog(folder / f"Session{session}", f"Ses0{session}{side}_{dialog}", turns, session + number)
    return 5 * 2 * len(dialogs) * turns


def _write_dialog(session: Path, name: str, turns: int, shift: int) -> None:
    ratings, spoken = [], []
    counts = {"F": 0, "M": 0}
    for turn in range(turns):
        who = "FM"[turn % 2]
        utterance = f"{name}_{who}{counts[who]:03d}"
        counts[who] += 1
        place = (turn + shift) % len(IEMOCAP_EMOTIONS)
        emotion = IEMOCAP_EMOTIONS[place]
        start_s, end_s = 1.5 * turn + 0.25, 1.5 * turn + 1.5
        times = f"{start_s:.4f} - {end_s:.4f}"
        vote = _VOTES[emotion]
        ratings.append(
            f"[{times}]\t{utterance}\t{emotion}\t[{2 + place / 4:.4f}, 2.5000, 3.0000]\n"
            f"C-E2:\t{vote};\t()\nC-E3:\t{vote}; Neutral;\t(a remark)\nC-E4:\tNeutral;\t()\n"
            f"C-{who}1:\tSurprise;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\nA-{who}1:\tval 3; act 2; dom  3;\t()\n"
        )
        text = " ".join(IEMOCAP_WORDS[(place + step) % len(IEMOCAP_WORDS)] for step in range(3 + turn % 3))
        spoken.append(f"{utterance} [{start_s:08.4f}-{end_s:08.4f}]: {text.capitalize()}.")
        amplitude = 0.04 * 1.2 ** (2 * int(session.name[-1]) + (who == "M"))
        recording = session / "sentences" / "wav" / name / f"{utterance}.wav"
        write_tone(recording, 150.0 + 60.0 * place, amplitude=amplitude)
        _write_alignment(session / "sentences" / "ForcedAlignment" / name / utterance, text.upper().split())
    spoken[1:1] = [f"{name}_MXX0 [000.0000-000.2000]: Mhm.", "M: Yes yes."]
    evaluation = session / "dialog" / "EmoEvaluation" / f"{name}.txt"
    transcript = session / "dialog" / "transcriptions" / f"{name}.txt"
    for path in (evaluation, transcript):
        path.parent.mkdir(parents=True, exist_ok=True)
    header = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    evaluation.write_text(header + "\n".join(reversed(ratings)), encoding="utf-8")
    transcript.write_text("\n".join(spoken) + "\n", encoding="utf-8")
    (evaluation.parent / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")


def _write_alignment(stem: Path, words: Sequence[str]) -> None:
    """Write words, phones and syllables in frames of 10 ms: silence, then all words of equal length, within 0.4 s."""
    length = 36 // len(words)
    rows: dict[str, list[str]] = {".wdseg": ["<s>"], ".phseg": ["SIL"], ".syseg": ["SIL"]}
    spans = [(0, 3), *((4 + length * place, 3 + length * (place + 1)) for place in range(len(words)))]
    for word in words:
        rows[".wdseg"].append(word)
        rows[".phseg"].append("AH SIL SIL s")
        rows[".syseg"].append("AH")
    stem.parent.mkdir(parents=True, exist_ok=True)
    for ending, labels in rows.items():
        header = f"\t SFrm  EFrm    SegAScr {'Word' if ending == '.wdseg' else 'Phone'}\n"
        lines = [f"\t{a:5d} {b:5d} {-1000:10d} {label}\n" for (a, b), label in zip(spans, labels, strict=True)]
        stem.with_suffix(ending).write_text(header + "".join(lines) + " Total score:   -123456\n", encoding="utf-8")


def write_crema_d(folder: Path, actors: Sequence[int] = tuple(range(1001, 1011))) -> int:
    """Write two sentences in six emotions per actor below ``folder/AudioWAV`` and return the number of clips."""
    emotions = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    for actor in actors:
        for sentence in ("DFA", "MTI"):
            for place, emotion in enumerate(emotions):
                path = folder / "AudioWAV" / f"{actor}_{sentence}_{emotion}_XX.wav"
                write_tone(path, 120.0 + 50.0 * place + actor % 7, 0.3)
    return len(actors) * 2 * len(emotions)


def write_ravdess(folder: Path, actors: Sequence[int] = tuple(range(1, 25))) -> int:
    """Write one clip per emotion and actor below ``folder/Actor_<n>`` and return the number of clips."""
    for actor in actors:
        for emotion in range(1, 9):
            path = folder / f"Actor_{actor:02d}" / f"03-01-{emotion:02d}-01-02-01-{actor:02d}.wav"
            write_tone(path, 120.0 + 50.0 * emotion + actor, 0.3)
    return len(actors) * 8


def write_emodb(
    folder: Path, speakers: Sequence[str] = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
) -> int:
    """Write one clip per emotion and speaker below ``folder/wav`` and return the number of clips."""
    for speaker in speakers:
        for place, letter in enumerate("WLEAFTN"):
            write_tone(folder / "wav" / f"{speaker}a01{letter}a.wav", 120.0 + 50.0 * place + int(speaker), 0.3)
    return len(speakers) * 7


def write_emovo(folder: Path, actors: Sequence[str] = ("f1", "f2", "f3", "m1", "m2", "m3")) -> int:
    """Write one clip per emotion and actor below ``folder/<actor>`` and return the number of clips."""
    for actor in actors:
        for place, emotion in enumerate(("dis", "gio", "neu", "pau", "rab", "sor", "tri")):
            write_tone(folder / actor / f"{emotion}-{actor}-b1.wav", 120.0 + 50.0 * place + int(actor[1]), 0.3)
    return len(actors) * 7
