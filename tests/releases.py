"""Tiny made-up releases of the corpora that merkit reads, in their layouts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.miniature import write_crema_d, write_emodb, write_emovo, write_iemocap, write_ravdess, write_tone


def _meld(folder: Path) -> None:
    fields = "Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    clips = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    measures = "duration,avg_intensity,intensity_variation,avg_pitch,pitch_std,pitch_range,articulation_rate,mean_hnr"
    for split, name in clips.items():
        rows, measured = [f"Sr No.,{fields}"], [f"filename,{measures}"]
        (folder / name).mkdir()
        for dialogue, utterance in ((3, 2), (3, 0), (1, 0)):  # out of order and with a gap, as in the release
            emotion, sentiment = (("joy", "positive"), ("anger", "negative"))[dialogue == 3]
            times = '"00:01:00,000","00:01:02,500"'
            text = f"The kettle {split} {dialogue} {utterance}."
            rows.append(f"{len(rows)},{text},Ann,{emotion},{sentiment},{dialogue},{utterance},8,21,{times}")
            measured.append(f"dia{dialogue}_utt{utterance}.wav,1.5,60,3,,20,80,4,10")
            (folder / name / f"dia{dialogue}_utt{utterance}.mp4").write_bytes(b"clip")
        (folder / f"{split}_sent_emo.csv").write_text("\n".join(rows))
        (folder / f"praat_{split}.csv").write_text("\n".join(measured))


def _mosi(folder: Path) -> None:
    arrays: dict[str, Any] = {}
    for split, ids in (("train", ["v_2", "w_1", "v_1"]), ("test", ["z_1"])):
        count = len(ids)
        arrays[f"{split}_id"], arrays[f"{split}_video"] = np.array(ids), np.array([name[0] for name in ids])
        arrays[f"{split}_seg"] = np.array([int(name[2]) for name in ids])
        arrays[f"{split}_transcript"] = np.array([f"I LIKED {name}" for name in ids])
        arrays[f"{split}_label"] = np.array([1, 0, 1][:count])
        for dim, modality in enumerate(("text", "audio", "video"), start=2):
            arrays[f"{split}_feat_{modality}"] = np.ones((count, dim), dtype=np.float32)
    np.savez(folder / "mosi_3modal.npz", **arrays)


def _nemo(folder: Path) -> None:
    rows = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    (folder / "samples").mkdir()
    for speaker in ("AB0", "CD0"):
        for emotion in ("anger", "fear"):
            rows.append(f"{speaker}_{emotion}_1.flac\t{emotion}\tŻaba skacze.\tżaba skacze\t{speaker}\tfemale\t27")
            (folder / "samples" / f"{speaker}_{emotion}_1.flac").write_bytes(b"clip")
    (folder / "data.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _parley(folder: Path) -> dict[str, Any]:
    return {"conversations": 3, "turns": 3, "speakers": 6}


def _table(folder: Path) -> None:
    rows = ["id,conversation,turn,speaker,text,audio,label,split"]
    for number, split in enumerate(("train", "valid", "test") * 2):
        rows.append(f"u{number},c{number},0,p{number},Well now.,{number}.wav,{'ab'[number % 2]},{split}")
        write_tone(folder / f"{number}.wav", 200.0 + number, 0.05)
    (folder / "utterances.csv").write_text("\n".join(rows))


def _without_count(write: Callable[[Path], int]) -> Callable[[Path], None]:
    def written(folder: Path) -> None:
        write(folder)

    return written


WRITERS: Mapping[str, Callable[[Path], Mapping[str, Any] | None]] = {
    "cmu_mosi": _mosi,
    "crema_d": _without_count(lambda folder: write_crema_d(folder, (1001, 1002))),
    "emodb": _without_count(lambda folder: write_emodb(folder, ("03", "16"))),
    "emovo": _without_count(lambda folder: write_emovo(folder, ("f1", "m3"))),
    "iemocap": _without_count(lambda folder: write_iemocap(folder, turns=2, dialogs=("impro01", "script01_1"))),
    "meld": _meld,
    "nemo": _nemo,
    "parley": _parley,
    "ravdess": _without_count(lambda folder: write_ravdess(folder, (1, 2))),
    "table": _table,
}
"""Adapter to what writes a release of it below a folder and returns options to read it with, if any."""
