"""The benchmarks run: what they measure is no test's business."""

import importlib.util
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.networks import noise, write_text_network, write_whisper

from merkit.core.alignment import Interval
from merkit.core.lookup import load
from merkit.data.corpus.prepare import prepare

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "conversation.py"


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(path.parent))  # for what scripts share
        spec.loader.exec_module(module)
    return module


def printed_by(module: ModuleType, *arguments: str) -> Any:
    """Return what a script prints, called with these arguments in this process."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(output):
        patched.setattr(sys, "argv", [str(module.__file__), *arguments])
        assert not module.main()
    return json.loads(output.getvalue())


CONVERSATION = script(SCRIPT)
ALIGNMENT = script(SCRIPT.with_name("alignment.py"))
sys.path.insert(0, str(SCRIPT.parent))  # scripts import their neighbours
WHISPER, INTERFACE = (script(SCRIPT.with_name(name)) for name in ("whisper_encoder.py", "api.py"))
sys.path.remove(str(SCRIPT.parent))


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


def test_ada2i_as_released_is_timed_beside_merkits() -> None:
    random, similar = (CONVERSATION.measure_released(None, "quick", 12, 1)["contenders"][name] for name in NAMED)

    assert random["seconds"] > 0
    assert similar["times_as_fast"] > 0


def test_a_folder_without_the_released_code_is_told_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--released", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "give the folder of a checkout of leson502/ADA2I" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkout_is_trained_by_its_own_step(tmp_path: Path) -> None:
    package = tmp_path / "model"
    package.mkdir()
    (package / "__init__.py").write_text("from .ada2i import Ada2I\n")
    (package / "ada2i.py").write_text(RELEASED)

    rows = CONVERSATION.measure_released(tmp_path, "quick", 12, 1)

    assert rows["reference"] == "released"
    assert rows["contenders"]["released"]["times_as_fast"] == 1.0
    assert {"arithmetic", "float32"} <= rows["contenders"].keys()


NAMED = ("random batches, float32", "float32")
RELEASED = """
import torch


class Ada2I(torch.nn.Module):
    def __init__(self, args):
        super().__init__()
        print("prints")
        self.names, self.modulated = args.modalities, 0
        self.linear = torch.nn.ModuleDict({m: torch.nn.Linear(args.embedding_dim["meld"][m], 7) for m in self.names})

    def forward(self, data):
        mask = torch.arange(int(data["length"].max())) < data["length"].unsqueeze(1)
        own = {m: self.linear[m](data["tensor"][m])[mask].log_softmax(1) for m in self.names}
        assert len(own["a"]) == len(data["label_tensor"])
        return sum(own.values()), torch.zeros(1), own, {m: 1.0 for m in self.names}

    def apply_modulation(self, ratio):
        assert all(parameter.grad is not None for parameter in self.parameters())
"""
"""What the script calls of the authors' code."""


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


def test_the_slips_of_words_are_counted_from_the_truth_and_those_spoken_as_one_count_once() -> None:
    truth = {
        "word": [Interval("Out", 0.0, 0.3), Interval("of the", 0.3, 0.5), Interval("tea,", 0.6, 0.9)],
        "phone": [Interval("aʊ", 0.0, 0.3), Interval("ə", 0.3, 0.5), Interval("t", 0.6, 0.7), Interval("iː", 0.7, 0.9)],
    }
    found = [Interval("out", 0.01, 0.32), Interval("of", 0.32, 0.4), Interval("the", 0.4, 0.44)]
    found.append(Interval("tea", 0.54, 0.95))

    rows = ALIGNMENT.slips(truth, found)

    assert [round(row.start_s, 9) for row in rows] == [0.01, 0.02, -0.06]
    assert [round(row.end_s, 9) for row in rows] == [0.02, -0.06, 0.05]
    assert [(row.first, row.last, row.after_pause, row.closed) for row in rows] == [
        (True, False, False, False),
        (False, False, False, False),
        (False, True, True, True),
    ]
    with pytest.raises(ValueError, match="5 words found, 4 expected"):
        ALIGNMENT.slips(truth, [*found, Interval("more", 1.0, 1.1)])


def test_the_figures_of_an_alignment_are_those_made_by_hand() -> None:
    slips = [(0.01, -0.02), (-0.04, 0.06), (0.0, 0.03), (-0.1, 0.2)]
    rows = [ALIGNMENT.Slip(a, b, False, False, False, False) for a, b in slips]

    found = ALIGNMENT.figures(rows)

    assert found == {
        "words": 4,
        "boundaries_within_50_ms": 62.5,  # 10, 20, 40, 0 and 30 ms of eight
        "starts_within_50_ms": 75.0,
        "ends_within_50_ms": 50.0,
        "words_with_both_within_50_ms": 50.0,  # the first and the third
        "median_error_ms": 35.0,  # of 0, 10, 20, 30, 40, 60, 100, 200
        "90th_percentile_error_ms": 130.0,  # at 6.3 of the seven steps: 100 + 0.3 * 100
        "median_signed_error_of_starts_ms": -20.0,  # of -100, -40, 0, 10
        "median_signed_error_of_ends_ms": 45.0,  # of -20, 30, 60, 200
    }


def test_the_script_of_alignment_compares_a_sample_of_the_test_part(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra 'align' is not installed")
    spec = load("corpora", "parley")
    manifest = prepare(spec, tmp_path, tmp_path, {"conversations": 3, "turns": 4, "speakers": 6})
    words = {utterance.id: len(str(utterance.text).split()) for utterance in manifest.utterances}
    printed = printed_by(ALIGNMENT, str(tmp_path), "--utterances", "3")
    assert printed["utterances"] == 3
    assert sum(printed["reasons"].values()) == printed["utterances_unaligned"] < 3
    assert 3 <= printed["words"] + printed["words_unaligned"] <= sum(words.values())
    assert printed["boundaries_within_50_ms"] > 50
    assert printed["sources"]["first word"]["words"] == 3 - printed["utterances_unaligned"]


def test_the_script_of_the_interface_compares_a_call_with_the_bare_network(tmp_path: Path) -> None:
    network = write_text_network(tmp_path / "network", ["i", "said", "tuesday"])
    printed = printed_by(INTERFACE, "--weights", str(network), "--calls", "3")
    assert printed["ratio"] == pytest.approx(printed["recognizer_ms"] / printed["bare_ms"])


def test_states_of_whisper_are_compared_with_the_library_s(tmp_path: Path) -> None:
    row = WHISPER.compare(str(write_whisper(tmp_path)), [noise(16_000)])

    assert {len(found) for found in row.values()} == {4}  # states
    assert max(row["largest_difference_same_input"]) < 1e-3
    assert row["cosine_of_frames_to_30_s"][0] == pytest.approx(1.0, abs=1e-3)
    assert row["cosine_of_frames_to_30_s"][3] < 0.9999  # thirty seconds of silence are another input
