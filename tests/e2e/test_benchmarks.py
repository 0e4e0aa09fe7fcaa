"""The benchmarks run: what they measure is no test's business."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "conversation.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conversation_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONVERSATION = script()


def test_conversations_are_as_long_as_those_of_melds_training_part() -> None:
    lengths = CONVERSATION.conversation_lengths(1038)

    # Poria et al. 2019: 1,038 dialogues, 9,989 utterances
    assert (len(lengths), sum(lengths)) == (1038, 9989)
    assert len(CONVERSATION.conversation_lengths(5)) == 5


@pytest.mark.parametrize("name", CONVERSATION.MODELS)
def test_each_model_is_trained(name: str) -> None:
    row = CONVERSATION.measure(name, "quick", conversations=3, batch_size=2, repeats=1)

    assert row["model"] == name
    assert row["parameters"] > 0
    assert row["seconds_per_epoch"] == pytest.approx(9989 / row["utterances_per_s"])


def test_the_papers_size_of_sdt_is_its_papers() -> None:
    with torch.device("meta"):
        found = sum(parameter.numel() for parameter in CONVERSATION.build("sdt", "paper")[1].parameters())

    # released code on IEMOCAP, 79,687,704, without its unused norms; audio of 300 columns in place of 1,582, no weights
    # in the nine gates, seven more speakers, and a seventh class for four heads
    assert found == 79_687_704 - 18_432 - 1_282 * 1024 - 9 * 1024**2 + 7 * 1024 + 4 * 1025


def test_the_script_prints_ratios_to_its_reference() -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--models", "concat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [row["model"] for row in printed["models"]] == ["bc_lstm", "concat"]
    assert printed["models"][0]["ratio"]["seconds_per_epoch"] == 1.0
    assert printed["models"][1]["ratio"]["seconds_per_epoch"] > 0


def test_the_script_of_utterance_training_prints_what_each_option_saves() -> None:
    path = SCRIPT.with_name("utterance_training.py")
    command = [sys.executable, str(path), "--quick", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    steps = printed["steps"]
    assert steps["plain"]["seconds_per_step_ratio"] == 1.0
    assert steps["lora"]["trained_weights"] == 2 * 2 * (16 * 8 + 8 * 16)  # layers, targets, A and B of rank 8
    assert all(row["seconds_per_step"] > 0 for row in steps.values())
    fixed, bounded = printed["epochs"].values()
    assert bounded["longest_batch_s"] < fixed["longest_batch_s"]
