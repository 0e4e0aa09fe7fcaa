"""Encoders are shared by the threads of a service: calls at the same time give what calls one after the other give."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from tests.networks import noise
from tests.unit.encoders.test_feature_extractor import saved, stage, talk

from merkit.core import lookup
from merkit.core.encoder import Array, Encoder, EncoderHome
from merkit.core.types import Turn

THREADS = 8
LONG = "one two three four five six seven eight so very happy here"


@pytest.fixture(autouse=True)
def _many_switches() -> Iterator[None]:
    """Let threads take turns far more often than the usual 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def build(name: str, modality: str, **settings: object) -> Encoder:
    spec = lookup.load("encoders", name)
    encoder: Encoder = spec.build(spec.config(**settings), modality, EncoderHome())
    return encoder.eval()


def in_threads(read: Callable[[Turn], Array], turns: Sequence[Turn], calls: int) -> list[list[Array]]:
    """Return what each thread reads, all of them beginning at once and each with another turn."""
    ready = Barrier(THREADS)

    def work(first: int) -> list[Array]:
        ready.wait()
        return [read(turns[(first + call) % len(turns)]) for call in range(calls)]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


def check(fresh: Encoder, serial: Encoder, turns: Sequence[Turn], calls: int) -> None:
    expected = [serial.extract([turn])[0] for turn in turns]

    found = in_threads(lambda turn: fresh.extract([turn])[0], turns, calls)

    assert [len(arrays) for arrays in found] == [calls] * THREADS
    for first, arrays in enumerate(found):
        for call, array in enumerate(arrays):
            wanted = expected[(first + call) % len(turns)]
            assert array.shape == wanted.shape
            np.testing.assert_allclose(array, wanted, atol=1e-5, rtol=1e-5)


@pytest.fixture
def lines(say: Callable[..., Turn]) -> list[Turn]:
    """Targets that are cut at their end, and contexts that are cut at their beginning."""
    texts = ["sad", LONG, "so happy", f"{LONG} . {LONG}"]
    return [
        say(text, before, f"u{n}-{m}") for n, text in enumerate(texts) for m, before in enumerate(([], [LONG, LONG]))
    ]


def test_tokens_read_in_threads_are_those_read_one_after_the_other(tiny_bert, lines):
    settings = {"weights": str(tiny_bert), "frozen": False, "context": 2, "max_tokens": 12}

    check(build("bert", "text", **settings), build("bert", "text", **settings), lines, 200)


@pytest.mark.parametrize("layer", ["mix", 1])
def test_texts_extracted_in_threads_are_those_extracted_one_after_the_other(tiny_bert, lines, layer):
    settings = {"weights": str(tiny_bert), "context": 2, "max_tokens": 12, "layer": layer}

    check(build("bert", "text", **settings), build("bert", "text", **settings), lines, 25)


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wavlm group"])
@pytest.mark.parametrize("layer", ["mix", 1])
def test_recordings_extracted_in_threads_are_those_extracted_one_after_the_other(networks, record, layer, kind):
    settings = {"weights": str(networks[kind]), "layer": layer}
    turns = [record(noise(length, seed), f"u{seed}") for seed, length in enumerate((4_000, 2_000, 700))]

    check(build("wav2vec2", "audio", **settings), build("wav2vec2", "audio", **settings), turns, 25)


def test_measures_taken_in_threads_are_those_taken_one_after_the_other(record):
    turns = [record(noise(length, seed), f"u{seed}") for seed, length in enumerate((4_000, 700, 6_000))]

    check(build("egemaps", "audio"), build("egemaps", "audio"), turns, 5)


def test_conversations_encoded_in_threads_are_those_encoded_one_after_the_other(tmp_path, tiny_bert):
    folder = saved(tmp_path / "model", tiny_bert, "single_conversation", "conversation")
    turns = [*talk("t", ["sad", "so happy"]), *talk("u", [LONG, "", "here"]), *talk("v", ["i am not"])]

    check(stage(folder), stage(folder), turns, 100)


def test_extraction_leaves_the_filters_of_warnings_as_they_are(networks, record, tiny_bert, say):
    speech = build("wav2vec2", "audio", weights=str(networks["wavlm group"]))
    speech.extract([record(noise(700))])
    before = list(warnings.filters)
    changes: list[int] = []

    def watched(turn: Turn) -> Array:
        array = speech.extract([turn])[0]
        changes.append(len(warnings.filters))
        return array

    in_threads(watched, [record(noise(700))], 3)

    assert warnings.filters == before
    assert set(changes) == {len(before)}
