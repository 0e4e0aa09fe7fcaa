"""Several processes, as ``torchrun`` and ``accelerate launch`` start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from tests.miniature import write_tone
from tests.tiny import write_recipe

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import write_manifest


def test_two_processes_train_on_batches_that_lack_a_modality_and_one_speaks(tmp_path: Path) -> None:
    utterances = []
    for number in range(16):
        heard = number % 8 > 3
        if heard:
            write_tone(tmp_path / "data" / f"{number}.wav", 200.0 + 50 * number, 0.1)
        attributes = {"label": "ab"[number % 2], "split": ("train", "train", "valid", "test")[number // 4]}
        audio = f"{number}.wav" if heard else None
        name = f"u{number}"
        utterances.append(Utterance(name, name, 0, name, text="so", audio=audio, attributes=attributes))
    write_manifest(tmp_path / "data", utterances, name="tones", version=1)
    values = {
        "model": "single",
        "protocol": "table",
        "seeds": 1,
        "encoders": {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}},
        "training": {"epochs": 2, "batch_size": 2, "learning_rates": {"encoders": 1e-3, "head": 1e-3}},
    }
    recipe = write_recipe(tmp_path / "r.toml", values)
    arguments = [
        "-m",
        "merkit",
        "-v",
        "train",
        str(recipe),
        "--data",
        str(tmp_path / "data"),
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 2:") == 1
    assert done.stdout.count('"model": "single"') == 1
    assert (tmp_path / "run" / "scores.json").is_file()
    cell = next((tmp_path / "run").glob("fold-*/seed-0"))
    assert pq.read_table(cell / "predictions.parquet").num_rows == 16
    rows = [json.loads(line) for line in (cell / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
