"""Each mistake ends with exit code 2 and one line that says what to do, and loses nothing already written."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file
from tests.checkpoints import reseal
from tests.commandline import call
from tests.tiny import recipe_values, write_corpus, write_recipe

from merkit.formats.unpickling import read_pickle_safely


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a trained run on sound, and one on log-mels."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_corpus(folder / "data", conversations=10)
    write_recipe(folder / "r.toml", recipe_values("concat", epochs=1))
    assert call("-q", "train", folder / "r.toml", "--data", folder / "data", "--out", folder / "run").code == 0
    rows = ["id,audio,label,split"]
    (folder / "wavs").mkdir()
    for number in range(9):
        label = ("low", "high")[number % 2]
        tone = np.sin(2 * np.pi * (200 + 400 * (number % 2)) * np.arange(8000) / 16000)
        soundfile.write(folder / "wavs" / f"{number}.wav", 0.1 * tone, 16000)
        rows.append(f"u{number},{number}.wav,{label},{('train', 'train', 'valid', 'test')[number % 4]}")
    (folder / "wavs" / "utterances.csv").write_text("\n".join(rows))
    values = recipe_values("single", epochs=1)
    values["encoders"] = {"audio": {"name": "logmel"}}
    values["training"]["learning_rates"] = {"encoders": 1e-3, "head": 1e-3}
    write_recipe(folder / "ears.toml", values)
    assert call("-q", "train", folder / "ears.toml", "--data", folder / "wavs", "--out", folder / "ears").code == 0
    return folder


def checkpoint(home: Path, run: str) -> Path:
    return next((home / run).glob("fold-*/seed-0/checkpoint"))


def refused(*arguments: object, message: str) -> str:
    done = call("-q", *arguments)
    assert done.code == 2, (done.code, done.out, done.error)
    assert message in done.error
    assert done.error.startswith("merkit: ")
    assert "Traceback" not in done.error
    return done.error


def zero_length(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16000)


def truncated(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).normal(size=32000) * 0.1, 16000)
    path.write_bytes(path.read_bytes()[:20000])


def text(path: Path) -> None:
    path.write_text("this is no sound at all\n" * 50)


def silent_film(path: Path) -> None:
    with av.open(path, "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for number in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number, np.uint8), format="rgb24")
            film.mux(stream.encode(picture))
        film.mux(stream.encode())


def not_a_number(path: Path) -> None:
    samples = np.zeros(16000, np.float32)
    samples[5000] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("zero.wav", zero_length),
        ("cut.flac", truncated),
        ("text.wav", text),
        ("silent.mp4", silent_film),
        ("nan.wav", not_a_number),
        ("none.wav", lambda path: None),
    ],
)
def test_a_recording_that_cannot_be_heard(home: Path, tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / name)

    line = refused("analyze", tmp_path / name, "--checkpoint", checkpoint(home, "ears"), message=name)

    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing column", "name,text\na,b\n", "id"),
        ("doubled id", "id,text,label,split\na,b,c,train\na,b,c,test\n", "'a'"),
        (
            "missing clip",
            "id,audio,label,split\na,none.wav,low,train\nb,none.wav,high,valid\nc,none.wav,low,test\n",
            "none.wav",
        ),
    ],
)
def test_a_manifest_that_is_wrong(home: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / "utterances.csv").write_text(content)

    refused("train", home / "ears.toml", "--data", tmp_path, "--out", tmp_path / "run", message=message)


def test_a_label_outside_the_protocols_map(home: Path, tmp_path: Path) -> None:
    rows = ["id,text,emotion,split"] + [
        f"u{n},hello,{e},{s}" for n, (e, s) in enumerate([("happy", "train"), ("bored", "test")])
    ]
    (tmp_path / "utterances.csv").write_text("\n".join(rows))
    (tmp_path / "r.toml").write_text(
        'model = "majority"\nprotocol = "table"\n[options]\nlabel = "emotion"\nlabels = ["happy", "sad"]\n'
    )

    refused("train", tmp_path / "r.toml", "--data", tmp_path, "--out", tmp_path / "run", message="bored")


def test_mistakes_in_a_recipe(home: Path, tmp_path: Path) -> None:
    values = recipe_values("concat", epoch=3)
    one = write_recipe(tmp_path / "one.toml", values)
    values["config"] = {"hiden": 3}
    two = write_recipe(tmp_path / "two.toml", values)

    single = refused("train", one, "--data", home / "data", message="No key named 'epoch'. Did you mean 'epochs'?")
    both = refused("train", two, "--data", home / "data", message="2 mistakes")

    assert single.count("\n") == 1
    assert "'epoch'" in both
    assert "'hiden'" in both


def test_an_unknown_model_gets_a_suggestion(home: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", recipe_values("bc_lsmt"))

    refused("train", recipe, "--data", home / "data", message="No model named 'bc_lsmt'. Did you mean 'bc_lstm'?")


def test_a_checkpoint_that_lacks_a_tensor_or_is_newer(home: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint(home, "run"), tmp_path / "short")
    state = load_file(tmp_path / "short" / "model.safetensors")
    lost = sorted(state)[0]
    del state[lost]
    save_file(state, tmp_path / "short" / "model.safetensors")
    reseal(tmp_path / "short")
    shutil.copytree(checkpoint(home, "run"), tmp_path / "newer")
    config = json.loads((tmp_path / "newer" / "config.json").read_text())
    (tmp_path / "newer" / "config.json").write_text(json.dumps({**config, "format": config["format"] + 1}))
    out = tmp_path / "p.csv"
    out.write_text("earlier work")

    refused("predict", home / "data", "--checkpoint", tmp_path / "short", "--out", out, message=lost)
    refused("predict", home / "data", "--checkpoint", tmp_path / "newer", "--out", out, message="upgrade merkit")

    assert out.read_text() == "earlier work"


def test_a_checkpoint_of_published_features_says_that_it_cannot_hear(home: Path) -> None:
    line = refused("analyze", home / "wavs" / "0.wav", "--checkpoint", checkpoint(home, "run"), message="sound")

    assert "cannot know how" in line


class Malicious:
    """Writes a file when a careless reader unpickles it."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.victim}",)


def test_a_malicious_pickle_is_refused_and_its_code_not_run(tmp_path: Path) -> None:
    from merkit.core.errors import UnsafeFileError

    (tmp_path / "features.pkl").write_bytes(pickle.dumps([Malicious(tmp_path / "victim")]))

    with pytest.raises(UnsafeFileError, match="system"):
        read_pickle_safely(tmp_path / "features.pkl")

    assert not (tmp_path / "victim").exists()


def test_an_output_folder_that_cannot_be_written_to(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = tmp_path / "file" / "below"
    trained = checkpoint(home, "run")

    refused("train", home / "r.toml", "--data", home / "data", "--out", blocked, message="folder")
    refused("predict", home / "data", "--checkpoint", trained, "--out", blocked / "p.csv", message="folder")


def test_a_run_folder_of_another_recipe_is_not_overwritten(home: Path) -> None:
    before = (home / "run" / "scores.json").read_text()

    refused(
        "train",
        home / "r.toml",
        "--data",
        home / "data",
        "--out",
        home / "run",
        "--set",
        "training.epochs=2",
        message="another recipe",
    )

    assert (home / "run" / "scores.json").read_text() == before


def test_unknown_names_on_the_command_line_get_suggestions(tmp_path: Path) -> None:
    refused("list", "model", message="Did you mean 'models'?")
    refused("cite", "bclstm", message="Did you mean 'bc_lstm'?")
    refused("prepare", "med", "--raw", tmp_path, "--out", tmp_path, message="Did you mean 'meld'?")
    refused("prepare", "meld", "--out", tmp_path, message="--raw")


def test_report_leaves_a_file_of_another_layout_as_it_is(home: Path, tmp_path: Path) -> None:
    results = tmp_path / "reference.csv"
    results.write_text("system,value\nada2i,60\n")

    line = refused(
        "report", home / "run", "--out", tmp_path / "report", "--results", results, message="unknown: system"
    )

    assert line.count("\n") == 1
    assert results.read_text() == "system,value\nada2i,60\n"
    assert not (tmp_path / "report").exists()
