"""`merkit align` and a run on what it found: aligned once, read by training, prediction and a recording's analysis."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from tests.commandline import call
from tests.segment_files import write_ctm
from tests.tiny import write_recipe

from merkit.core.alignment import Interval
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.inference.recognizer import Recognizer

RATE_HZ = 16_000
WORDS = ("so", "it", "is")


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
    """Thirty utterances of three words of 0.1 s; the label is the pitch of the middle one."""
    rng = np.random.default_rng(0)
    utterances, words = [], {}
    for number in range(30):
        label = number % 2
        times = np.arange(RATE_HZ // 10) / RATE_HZ
        pitches = [200.0, 300.0 if label else 1200.0, 200.0]
        samples = np.concatenate([np.sin(2 * np.pi * pitch * times) for pitch in pitches])
        samples = 0.2 * samples + 0.001 * rng.normal(size=len(samples))
        path = tmp_path / "data" / f"u{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
        split = ("test", "valid", "train", "train", "train")[number // 2 % 5]
        attributes = {"label": "low" if label else "high", "split": split}
        utterances.append(
            Utterance(f"u{number}", f"c{number}", 0, "s", " ".join(WORDS), path.name, attributes=attributes)
        )
        words[f"u{number}"] = [Interval(w, 0.1 * place, 0.1 * (place + 1)) for place, w in enumerate(WORDS)]
    write_ctm(tmp_path / "words.ctm", words)
    return write_manifest(tmp_path / "data", utterances, name="tiny", version=1)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    config = {"granularities": ["frame", "word"], "alignment": "files", "dim": 8, "heads": 2, "feed_forward": 8}
    audio = {"name": "logmel", "stretch": 0.0, "dim": 8, "channels": 2, "layers": 1}
    return write_recipe(
        tmp_path / "recipe.toml",
        {
            "model": "multilevel",
            "protocol": "table",
            "seeds": 1,
            "config": config,
            "encoders": {"text": {"name": "bert", "weights": "builtin:minilm"}, "audio": audio},
            "training": {"epochs": 2, "batch_size": 8, "learning_rates": {"encoders": 1e-2, "head": 1e-2}},
        },
    )


def test_a_run_reads_the_alignment_and_its_checkpoint_knows_the_fitted_weights(
    corpus: Manifest, recipe: Path, tmp_path: Path
) -> None:
    data, run = str(corpus.root), str(tmp_path / "run")
    without = call("train", str(recipe), "--data", data, "--out", run)
    aligned = call("align", data, "--with", "files", "--set", f"folder={tmp_path}")
    again = call("align", data, "--with", "files", "--set", f"folder={tmp_path}")
    done = call("train", str(recipe), "--data", data, "--out", run)

    assert without.code == 2
    assert "No alignment 'files'" in without.error
    assert "30 utterances aligned, 0 already done" in aligned.out
    assert "0 utterances aligned, 30 already done" in again.out
    assert done.code == 0, done.error
    checkpoint = next(Path(run).rglob("checkpoint"))
    provenance = json.loads((checkpoint / "provenance.json").read_text())
    assert provenance["alignment"] == {"name": "files", "aligner": {"aligner": "files", "version": 1}}
    weights = Recognizer.load(checkpoint).model.logged_values()
    assert sum(weights.values()) == pytest.approx(1.0)
    assert max(weights.values()) > 0.21, "five answers: fitted weights are not the equal ones they began as"

    predicted = call("predict", data, "--checkpoint", str(checkpoint), "--out", str(tmp_path / "p.parquet"))
    assert predicted.code == 0, predicted.error
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 30
    analyzed = call("analyze", str(corpus.root / "u0.wav"), "--checkpoint", str(checkpoint))
    assert analyzed.code == 0, analyzed.error


def test_changed_words_need_a_new_alignment(corpus: Manifest, recipe: Path, tmp_path: Path) -> None:
    call("align", str(corpus.root), "--with", "files", "--set", f"folder={tmp_path}")
    changed = [
        Utterance(u.id, u.conversation, 0, u.speaker, "so what", u.audio, attributes=u.attributes)
        for u in corpus.utterances
    ]
    write_manifest(corpus.root, changed, name="tiny", version=1)

    done = call("train", str(recipe), "--data", str(corpus.root), "--out", str(tmp_path / "run"))

    assert done.code == 2
    assert "lacks 30 of 30 utterances as they are now: u0, u1, u2, u3, u4" in done.error


def test_what_cannot_be_aligned_is_an_error_unless_the_user_says_frame(corpus: Manifest, tmp_path: Path) -> None:
    lines = (tmp_path / "words.ctm").read_text().splitlines()
    (tmp_path / "words.ctm").write_text("\n".join(line for line in lines if not line.startswith("u7 ")) + "\n")
    command = ("align", str(corpus.root), "--with", "files", "--set", f"folder={tmp_path}")

    strict = call(*command)
    fast = call(*command, "--fail-fast")
    lenient = call(*command, "--unaligned", "frame")

    assert strict.code == 1
    assert "29 utterances aligned" in strict.out
    assert strict.error.startswith("failed: u7: no segments of it")
    assert "1 of 30 utterances failed, as listed; 29 are done. Correct these, or read them frame" in strict.error
    assert fast.code == 2
    assert "1 of 30 utterances cannot be aligned: 'u7': no segments of it" in fast.error
    assert lenient.code == 0
    assert "They are read frame by frame." in lenient.out


def test_an_unknown_aligner_or_setting_is_an_error(corpus: Manifest) -> None:
    assert "No aligner named 'filse'. Did you mean 'files'?" in call("align", str(corpus.root), "--with", "filse").error
    assert "folder" in call("align", str(corpus.root), "--with", "files").error
