"""What is fuzzed: for each target valid files, and the command that reads them."""

import contextlib
import json
import pickle
import random
import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from tests.checkpoints import reseal
from tests.commandline import call
from tests.networks import write_text_network
from tests.segment_files import write_ctm, write_seg, write_textgrid
from tests.tiny import WORDS, recipe_values, write_corpus, write_recipe

from merkit.core.alignment import Interval

RATE_HZ = 16_000


@dataclass(frozen=True)
class Target:
    """A kind of input."""

    make: Callable[[Path, Path], Sequence[Path]]
    """``make(shared, folder)`` writes valid files into a new folder and returns those that may be mutated."""
    command: Callable[[Path, Path], Sequence[str]]
    """``command(shared, mutated)`` returns the arguments of ``merkit``, which runs in the folder."""
    finish: Callable[[Path], object] | None = None
    """What is done in the folder once the mutated file lies there."""
    result: str | None = None
    """A file whose content must be that without mutations wherever the command ends with 0."""


def make_shared(folder: Path) -> None:
    """Write what the targets share: a recording, corpora, trained runs, stored features."""
    write_sound(folder / "call.wav")
    rows = ["id,conversation,audio,text,label,split"]
    for number in range(8):
        label = list(WORDS)[number % 2]
        write_sound(folder / "corpus" / f"{number}.wav", seed=number)
        split = ("train", "train", "valid", "test")[number // 2]
        rows.append(f"u{number},c{number // 2},{number}.wav,{WORDS[label]},{label},{split}")
    (folder / "corpus" / "utterances.csv").write_text("\n".join(rows) + "\n")
    network = write_text_network(folder / "network", " ".join(WORDS.values()).split())
    values = recipe_values("concat", epochs=1, batch_size=4)
    values["encoders"] = {"text": {"name": "bert", "weights": str(network)}, "audio": {"name": "logmel"}}
    values["training"]["learning_rates"] = {"encoders": 1e-3, "head": 1e-3}
    _run("train", write_recipe(folder / "concat.toml", values), "--data", folder / "corpus", "--out", folder / "run")
    checkpoint = next((folder / "run").glob("fold-*/seed-0/checkpoint"))
    checkpoint.rename(folder / "checkpoint")
    write_corpus(folder / "tiny", conversations=10)
    recipe = write_recipe(folder / "tiny.toml", recipe_values("bag_of_words"))
    _run("train", recipe, "--data", folder / "tiny", "--out", folder / "tiny-run")


def write_sound(path: Path, seconds: float = 1.5, seed: int = 0, rate_hz: int = RATE_HZ) -> None:
    """Write a made-up voice: pulses of a moving pitch under a moving envelope."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    pitch = 120 + 30 * np.sin(2 * np.pi * (1 + 0.2 * seed) * times)
    voice = sum(np.sin(k * 2 * np.pi * np.cumsum(pitch) / rate_hz) / k for k in range(1, 12))
    soundfile.write(path, 0.2 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * times)), rate_hz)


def _run(*arguments: object) -> None:
    done = call("-q", *arguments)
    if done.code:
        raise RuntimeError(f"merkit {arguments}: {done.error}")


SOUND_FILES = {
    "a.wav": "PCM_16",
    "b.wav": "FLOAT",
    "c.wav": "ULAW",
    "d.wav": "IMA_ADPCM",
    "e.wav": "GSM610",
    "f.flac": "PCM_16",
    "g.ogg": "VORBIS",
    "h.mp3": "MPEG_LAYER_III",
    "i.aiff": "PCM_24",
    "j.w64": "PCM_16",
}


def _media(shared: Path, folder: Path) -> list[Path]:
    sound, rate_hz = soundfile.read(shared / "call.wav", dtype="float32")
    paths = []
    for name, subtype in SOUND_FILES.items():
        soundfile.write(folder / name, sound, rate_hz, subtype=subtype)
        paths.append(folder / name)
    for name, codec in (("k.m4a", "aac"), ("l.mkv", "aac"), ("m.mp4", "aac"), ("n.webm", "libopus")):
        with av.open(folder / name, "w") as container:
            stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate_hz)
            frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            frame.rate = rate_hz
            for made in av.AudioResampler(stream.format.name, stream.layout.name, stream.rate).resample(frame):
                container.mux(stream.encode(made))
            container.mux(stream.encode(None))
        paths.append(folder / name)
    return paths


TRANSCRIPTS: dict[str, str] = {
    "a.srt": "1\n00:00:00,100 --> 00:00:00,700\nANN: well <i>then</i>\n\n"
    "2\n00:00:00,800 --> 00:00:01,300\nBEN: stop this\n",
    "b.vtt": "WEBVTT\n\nNOTE made\n\n00:00.100 --> 00:00.700\n<v Ann>well &amp; then</v>\n\n"
    "00:00.800 --> 00:01.300\n- how <c>lovely</c>\n",
    "c.json": json.dumps(
        {
            "segments": [
                {
                    "start": 0.1,
                    "end": 0.7,
                    "text": " well then",
                    "speaker": "A",
                    "words": [{"word": "well", "start": 0.1, "end": 0.3}],
                },
                {"start": 0.8, "end": 1.3, "text": "stop"},
            ]
        }
    ),
    "d.tsv": "start\tend\ttext\n100\t700\twell then\n800\t1300\tstop this\n",
    "e.csv": 'start_s,end_s,speaker,text\n0.1,0.7,A,well then\n0.8,1.3,B,"stop, this"\n',
    "f.jsonl": '{"start": 0.1, "end": 0.7, "text": "well"}\n{"start": 0.8, "end": 1.3, "text": "stop"}\n',
    "g.json": json.dumps(
        {"utterances": [{"start": 100, "end": 700, "speaker": "A", "text": "well then", "confidence": 0.9}]}
    ),
    "h.json": json.dumps(
        {
            "transcription": [
                {
                    "timestamps": {"from": "00:00:00,100", "to": "00:00:00,700"},
                    "offsets": {"from": 100, "to": 700},
                    "text": " well",
                }
            ]
        }
    ),
    "i.json": json.dumps(
        {
            "results": {
                "channels": [
                    {
                        "alternatives": [
                            {
                                "transcript": "well then",
                                "words": [
                                    {"word": "well", "start": 0.1, "end": 0.4, "speaker": 0},
                                    {"word": "then", "start": 0.4, "end": 0.7, "speaker": 1},
                                ],
                            }
                        ]
                    }
                ]
            }
        }
    ),
    "j.json": json.dumps(
        {
            "results": {
                "transcripts": [{"transcript": "well."}],
                "items": [
                    {
                        "type": "pronunciation",
                        "start_time": "0.1",
                        "end_time": "0.7",
                        "alternatives": [{"content": "well"}],
                        "speaker_label": "spk_0",
                    },
                    {"type": "punctuation", "alternatives": [{"content": "."}]},
                ],
            }
        }
    ),
    "k.json": json.dumps(
        {
            "results": [
                {
                    "alternatives": [
                        {
                            "transcript": "well",
                            "words": [{"word": "well", "startTime": "0.1s", "endTime": "0.7s", "speakerTag": 1}],
                        }
                    ]
                }
            ]
        }
    ),
    "l.json": json.dumps(
        {
            "recognizedPhrases": [
                {"channel": 0, "offsetInTicks": 1000000, "durationInTicks": 6000000, "nBest": [{"display": "Well."}]}
            ]
        }
    ),
    "m.json": json.dumps(
        {
            "text": "well then",
            "chunks": [{"timestamp": [0.1, 0.7], "text": " well"}, {"timestamp": [0.8, None], "text": " then"}],
        }
    ),
    "n.json": json.dumps(
        {"version": "1.0.0", "segments": [{"speaker": "A", "startTime": 0.1, "endTime": 0.7, "body": "well"}]}
    ),
    "o.rttm": "SPEAKER call 1 0.1 0.6 <NA> <NA> A <NA> <NA>\nSPEAKER call 1 0.8 0.5 <NA> <NA> B <NA> <NA>\n",
    "p.stm": "call 1 A 0.1 0.7 <o,f0,male> well then\ncall 1 B 0.8 1.3 stop this\n",
    "q.ctm": "call 1 0.10 0.30 well\ncall 1 0.40 0.30 then 0.9\n",
    "r.txt": "well then stop this\n",
    "s.eaf": "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<ANNOTATION_DOCUMENT>",
            '<HEADER TIME_UNITS="milliseconds"/>',
            "<TIME_ORDER>",
            '<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="100"/>',
            '<TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="700"/>',
            "</TIME_ORDER>",
            '<TIER TIER_ID="Ann" LINGUISTIC_TYPE_REF="u">',
            "<ANNOTATION>",
            '<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">',
            "<ANNOTATION_VALUE>well</ANNOTATION_VALUE>",
            "</ALIGNABLE_ANNOTATION>",
            "</ANNOTATION>",
            "</TIER>",
            "</ANNOTATION_DOCUMENT>",
        ]
    ),
    "t.csv": "start;end;text\n0,1;0,7;well then\n0,8;1,3;stop\n",
}
"""Transcripts of the recording `call.wav`, as tools write them."""


def _transcripts(shared: Path, folder: Path) -> list[Path]:
    for name, content in TRANSCRIPTS.items():
        (folder / name).write_text(content, encoding="utf-8")
    grid = folder / "u.TextGrid"
    write_textgrid(grid, {"word": [Interval("well", 0.1, 0.7), Interval("stop", 0.8, 1.3)]}, 1.5)
    return [*(folder / name for name in TRANSCRIPTS), grid]


def _tables(shared: Path, folder: Path) -> list[Path]:
    import pyarrow
    import pyarrow.parquet

    paths = []
    table = (shared / "corpus" / "utterances.csv").read_text()
    header, *rows = (line.split(",") for line in table.splitlines())
    records = [dict(zip(header, row, strict=True)) for row in rows]
    for name in ("csv", "jsonl", "parquet", "tsv"):
        corpus = folder / name
        shutil.copytree(shared / "corpus", corpus, ignore=shutil.ignore_patterns("utterances.*", "features"))
        path = corpus / f"utterances.{name}"
        if name == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
        elif name == "jsonl":
            path.write_text("\n".join(map(json.dumps, records)) + "\n")
        else:
            path.write_text(table.replace(",", "\t") if name == "tsv" else table)
        paths.append(path)
    prepared = folder / "prepared"
    shutil.copytree(shared / "tiny", prepared, ignore=shutil.ignore_patterns("precomputed"))
    return [*paths, prepared / "corpus.json", prepared / "utterances.parquet"]


def _recipe(shared: Path, folder: Path) -> list[Path]:
    values = recipe_values("concat", epochs=1)
    values["options"] = {"label": "label", "valid_share": 0.2, "labels": ["calm", "cross", "glad"]}
    values["loss"] = {"class_weights": "inverse"}
    write_recipe(folder / "a.toml", values)
    write_recipe(folder / "b.toml", {**recipe_values("bag_of_words"), "options": {"metrics": ["accuracy"]}})
    return [folder / "a.toml", folder / "b.toml"]


def small(path: Path, content: bytes) -> bool:
    """Return whether a mutated recipe asks for no more than a moment of training; other files are small."""
    if path.suffix != ".toml":
        return True
    try:
        pending: list[object] = [tomllib.loads(content.decode())]
    except (ValueError, RecursionError):
        return True
    while pending:
        value = pending.pop()
        pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        if isinstance(value, int) and value > 8:
            return False
    return True


def _checkpoint(shared: Path, folder: Path) -> list[Path]:
    shutil.copytree(shared / "checkpoint", folder / "checkpoint")
    (folder / "words.srt").write_text(TRANSCRIPTS["a.srt"])
    return sorted(path for path in (folder / "checkpoint").rglob("*") if path.is_file() and path.name != "README.md")


def _reseal(folder: Path) -> None:
    """Let the checkpoint's hashes fit the mutated file, as somebody does who edits one on purpose."""
    with contextlib.suppress(ValueError, TypeError, RecursionError, OSError):
        reseal(folder / "checkpoint")


def _store(shared: Path, folder: Path) -> list[Path]:
    shutil.copytree(shared / "corpus", folder / "corpus")
    return sorted(path for path in (folder / "corpus" / "features").rglob("*") if path.is_file())


def _features(shared: Path, folder: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    corpus = folder / "corpus"
    shutil.copytree(shared / "corpus", corpus, ignore=shutil.ignore_patterns("features"))
    arrays = {f"u{number}": generator.normal(size=(3, 4)) for number in range(8)}
    np.savez(folder / "a.npz", **arrays)
    np.savez_compressed(
        folder / "b.npz", ids=np.array(list(arrays)), features=np.stack([a[0] for a in arrays.values()])
    )
    for number in (2, 4, 5):
        content = {name: array if number < 5 else array.tolist() for name, array in arrays.items()}
        (folder / f"c{number}.pkl").write_bytes(pickle.dumps(content, protocol=number))
    rows = [f"{name}," + ",".join(f"{value:.4f}" for value in array[0]) for name, array in arrays.items()]
    (folder / "d.csv").write_text("id,a,b,c,d\n" + "\n".join(rows) + "\n")
    return sorted(path for path in folder.iterdir() if path.is_file())


def _run_folder(shared: Path, folder: Path) -> list[Path]:
    shutil.copytree(shared / "tiny-run", folder / "run")
    return sorted(
        path
        for path in (folder / "run").rglob("*")
        if path.is_file() and path.suffix in (".json", ".jsonl", ".parquet", ".toml")
    )


def _segments(shared: Path, folder: Path) -> list[Path]:
    intervals = [Interval("well", 0.1, 0.4), Interval("then", 0.4, 0.7)]
    (folder / "files").mkdir()
    shutil.copytree(shared / "corpus", folder / "corpus", ignore=shutil.ignore_patterns("features"))
    for number in range(2, 8):
        write_textgrid(folder / "files" / f"u{number}.TextGrid", {"word": intervals, "phone": intervals}, 1.5)
    write_seg(folder / "files" / "u0.wdseg", intervals, "word")
    write_ctm(folder / "files" / "words.ctm", {"u1": intervals})
    return sorted((folder / "files").iterdir())


def _command(line: str) -> Callable[[Path, Path], Sequence[str]]:
    return lambda shared, path: [part.format(shared=shared, path=path) for part in line.split()]


TARGETS = {
    "media": Target(_media, _command("analyze {path} --checkpoint {shared}/checkpoint --out out")),
    "transcripts": Target(
        _transcripts,
        _command("analyze {shared}/call.wav --transcript {path} --checkpoint {shared}/checkpoint --out out"),
    ),
    "tables": Target(
        _tables,
        _command("predict {path.parent} --checkpoint {shared}/checkpoint --out predictions.csv"),
    ),
    "doctor": Target(_tables, _command("doctor {path.parent}")),
    "recipes": Target(_recipe, _command("train {path} --data {shared}/tiny --out run")),
    "checkpoints": Target(
        _checkpoint,
        _command("analyze {shared}/call.wav --transcript words.srt --checkpoint checkpoint --out out"),
        result="out/call.csv",
    ),
    "edited checkpoints": Target(
        _checkpoint,
        _command("analyze {shared}/call.wav --transcript words.srt --checkpoint checkpoint --out out"),
        finish=_reseal,
    ),
    "stores": Target(_store, _command("predict corpus --checkpoint {shared}/checkpoint --out p.csv"), result="p.csv"),
    "features": Target(_features, _command("features import corpus --modality audio --name mine {path}")),
    "runs": Target(_run_folder, _command("report run --out report")),
    "alignments": Target(_segments, _command("align corpus --with files --set folder=files")),
}


def draw(paths: Sequence[Path], generator: random.Random) -> Path:
    """Return the file to mutate: kinds of files with the same chance, however many there are of a kind."""
    suffix = generator.choice(sorted({path.suffix for path in paths}))
    return generator.choice([path for path in paths if path.suffix == suffix])
