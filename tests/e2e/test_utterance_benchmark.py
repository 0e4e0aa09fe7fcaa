"""The benchmark of the utterance systems trains what it says on the lengths it says; what it measures is not tested."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from merkit.core.types import Turn, Utterance

FOLDER = Path(__file__).parents[2] / "benchmarks"


def module(name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(FOLDER))
        return importlib.import_module(name)


LENGTHS, UTTERANCE = module("_lengths"), module("utterance")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return UTTERANCE.Corpus.write(tmp_path_factory.mktemp("corpus"), "quick", 9, 3, 3)


def attention_masks(training: Any) -> list[torch.Tensor | None]:
    """The masks that the speech network's transformer gets while one batch is trained."""
    given: list[torch.Tensor | None] = []
    network = training.encoders["audio"].network.encoder
    network.register_forward_pre_hook(lambda _, __, named: given.append(named["attention_mask"]), with_kwargs=True)
    training.step(range(3), torch.device("cpu"))
    return given


def test_lengths_are_log_normal_with_the_mean_and_the_bounds_of_iemocap() -> None:
    lengths_s = np.array(LENGTHS.speech_lengths_s(100_000))

    # by hand: the mean of a log-normal is exp(mu + 0.7^2 / 2), so that its median is 4.5 exp(-0.245) = 3.522; its
    # standard deviation is 4.5 sqrt(exp(0.49) - 1) = 3.58, and five standard errors are allowed
    assert lengths_s.mean() == pytest.approx(4.5, abs=5 * 3.58 / 100_000**0.5)
    assert np.median(lengths_s) == pytest.approx(3.522, abs=0.07)
    assert (lengths_s.min(), lengths_s.max()) == (0.6, 34.0)


def test_networks_are_as_large_as_the_published_base_ones() -> None:
    with torch.device("meta"):
        networks = {
            "speech": UTTERANCE.speech_network(**UTTERANCE.SIZES["base"]["speech"]),
            **{kind: UTTERANCE.text_network(kind, **UTTERANCE.SIZES["base"]["text"]) for kind in UTTERANCE.MARKS},
        }

    found = {name: sum(parameter.numel() for parameter in each.parameters()) for name, each in networks.items()}
    # of facebook/wav2vec2-base, google-bert/bert-base-uncased and FacebookAI/roberta-base, heads aside
    assert found == {"speech": 94_371_712, "bert": 109_482_240, "roberta": 124_645_632}


def test_segments_divide_an_utterance_evenly(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "u.wav", np.zeros(32_000), 16_000)
    turn = Turn(Utterance("u", "u", 0, "anna", text="no well", audio="u.wav"), (), tmp_path)

    assert UTTERANCE.segments_of({"u": turn}, "word", "u").tolist() == [[0, 1], [1, 2]]
    assert UTTERANCE.segments_of({"u": turn}, "syllable", "u").tolist() == [[0, 1], [1, 1.5], [1.5, 2]]
    assert UTTERANCE.segments_of({"u": turn}, "phone", "u").tolist() == [
        [0, 0.5], [0.5, 1], [1, 1.25], [1.25, 1.5], [1.5, 1.75], [1.75, 2],
    ]  # fmt: skip


def test_random_batches_are_those_of_a_typical_shuffle() -> None:
    lengths = LENGTHS.speech_lengths_s(48)
    batches = UTTERANCE.random_batches(lengths, 4)
    shuffles = [np.random.default_rng(seed).permutation(lengths).reshape(-1, 4) for seed in range(200)]

    found = UTTERANCE.padding(lengths, batches)
    others = [4 * shuffle.max(axis=1).sum() / sum(lengths) for shuffle in shuffles]
    assert sorted(item for batch in batches for item in batch) == list(range(48))
    assert {len(batch) for batch in batches} == {4}
    assert np.quantile(others, 0.3) < found < np.quantile(others, 0.7)


def test_a_sample_of_batches_is_the_middle_of_equal_parts_by_padded_length() -> None:
    lengths = [float(number) for number in range(12)]
    batches = [[number] for number in (5, 11, 0, 7, 2, 9, 4, 1, 10, 3, 8, 6)]

    # by hand: three parts of four, each of which has its middle behind two
    assert UTTERANCE.sample(lengths, batches, 3) == [[2], [6], [10]]
    assert sorted(UTTERANCE.sample(lengths, batches, 99)) == sorted(batches)


def test_an_epoch_as_large_as_iemocap_has_nearly_no_padding_in_batches_of_similar_length(tmp_path: Path) -> None:
    corpus = UTTERANCE.Corpus.write(tmp_path, "quick", 5531, 4, 2)

    assert corpus.padding[False] < 1.05
    assert corpus.padding[True] > 1.7
    assert [len(batch) for batches in corpus.batches.values() for batch in batches] == [4, 4, 4, 4]


def test_padding_is_the_padded_length_over_the_real_one() -> None:
    # by hand: (2 * 3 + 2 * 4) / (1 + 3 + 4 + 2)
    assert UTTERANCE.padding([1.0, 3.0, 4.0, 2.0], [[0, 1], [2, 3]]) == 1.4


def test_the_released_system_has_random_batches_and_no_mask(corpus: Any) -> None:
    setting = UTTERANCE.SYSTEMS["mmer"]["released"]
    training = UTTERANCE.Training("mmer", setting, corpus, 3)
    own = UTTERANCE.Training("mmer", UTTERANCE.SYSTEMS["mmer"]["bucketed"], corpus, 3)

    assert setting.shuffled
    assert corpus.padding[True] > corpus.padding[False]
    assert (training.model.released, own.model.released) == (True, False)
    assert attention_masks(training) == [None, None]  # of the utterances and of their views
    masks = attention_masks(own)
    assert len(masks) == 2
    assert all(mask is not None and not mask.all() for mask in masks)


@pytest.mark.parametrize(
    ("system", "name"), [(system, name) for system, settings in UTTERANCE.SYSTEMS.items() for name in settings]
)
def test_each_setting_trains_whole_batches_with_a_frozen_front_end(corpus: Any, system: str, name: str) -> None:
    setting = UTTERANCE.SYSTEMS[system][name]
    training = UTTERANCE.Training(system, setting, corpus, 3)

    batches = corpus.batches[setting.shuffled]
    assert Counter(item for batch in batches for item in batch) == dict.fromkeys(range(9), 1)
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert (training.dataset.views is not None) == (system == "mmer")
    front_end, layers = training.encoders["audio"].network.feature_extractor, training.encoders["audio"].network.encoder
    assert not any(weight.requires_grad for weight in front_end.parameters())
    assert all(weight.requires_grad for weight in layers.parameters())


def test_ratios_are_those_of_utterances_per_second() -> None:
    speeds = {"bucketed": 6.0, "bucketed, cached": 9.0, "random": 4.0, "released": 3.0}

    found = UTTERANCE.ratios({name: {"utterances_per_s": speed} for name, speed in speeds.items()})

    assert found == {
        "bucketed / random": 1.5,
        "bucketed / released": 2.0,
        "bucketed, cached / released": 3.0,
        "bucketed, cached / bucketed": 1.5,
    }


def test_the_script_measures_every_system() -> None:
    command = [sys.executable, str(FOLDER / "utterance.py"), "--quick", "--utterances", "6", "--batch-size", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["utterances"], printed["batch_size"]) == (6, 2)
    assert {"aux_fusion", "multilevel", "mmer"} == set(printed["systems"])
    for name, system in printed["systems"].items():
        assert list(system["settings"]) == list(UTTERANCE.SYSTEMS[name])
        assert all(row["utterances_per_s"] > 0 and row["peak_mib"] > 0 for row in system["settings"].values())
        assert system["utterances_per_s_ratios"] == pytest.approx(UTTERANCE.ratios(system["settings"]))
    stored = printed["systems"]["mmer"]["cache_front_end"]
    assert stored["loss"] > 0
    assert stored["difference"] <= 1e-5
