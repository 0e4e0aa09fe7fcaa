"""Waveforms as values: what is accepted, and one clear line for what is not."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merkit.core.errors import MediaError
from merkit.core.waveform import Channel, Track, Waveform


def test_one_channel_and_several_are_accepted_and_measured() -> None:
    mono, stereo = Waveform(np.zeros(8000), 16_000), Waveform(np.zeros((2, 8000)), 8000)

    assert (mono.channels, mono.duration_s) == (1, 0.5)
    assert (stereo.channels, stereo.duration_s) == (2, 1.0)
    assert mono.samples.dtype == np.float32


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),  # as WAV files are read
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1.0, 0.5]),
        ([0.25, -2.0], [0.25, -2.0]),
        (torch.tensor([0.5, -0.5], dtype=torch.bfloat16, requires_grad=True), [0.5, -0.5]),
        (torch.tensor([16384], dtype=torch.int16), [0.5]),
    ],
)
def test_every_type_becomes_the_same_samples(samples: Any, expected: list[float]) -> None:
    assert Waveform(samples, 16_000).samples.tolist() == expected


def test_it_is_a_value() -> None:
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    one, same = Waveform(samples, 16_000), Waveform(samples.copy(), np.int64(16_000))
    samples[0] = 0.5

    assert one == same
    assert hash(one) == hash(same)
    assert one.samples[0] == -1.0
    assert len(one.content) == 40
    assert (
        len({one, Waveform(samples, 16_000), Waveform(same.samples, 8000), Waveform(same.samples[None], 16_000)}) == 4
    )
    assert one != "waveform"
    with pytest.raises(ValueError, match="read-only"):
        one.samples[0] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.rate_hz = 8000  # type: ignore[misc]


def test_a_channel_is_a_waveform_of_its_own() -> None:
    stereo = Waveform([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], 8000)

    assert stereo.channel(1) == Waveform([0.4, 0.5, 0.6], 8000)
    assert Waveform([0.1], 8000).channel(0) == Waveform([0.1], 8000)


def test_a_channel_of_a_recording_is_named_as_people_count() -> None:
    assert str(Channel(Path("call.wav"), 1)) == "call.wav (channel 2)"
    assert str(Channel(Track(Path("call.mkv"), 2), 0)) == "call.mkv (track 2) (channel 1)"


def test_more_channels_than_a_recording_has_are_refused() -> None:
    with pytest.raises(MediaError, match=r"The waveform has 65 channels, expected 1 to 64"):
        Waveform(np.zeros((65, 100)), 8000)


def test_it_is_shown_by_its_size_never_by_its_samples() -> None:
    assert repr(Waveform(np.zeros((2, 800)), 8000)) == "Waveform((2, 800), 8000 Hz)"
    assert str(Waveform(np.zeros((2, 800)), 8000)) == "waveform of 0.100 s"


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message"),
    [
        ([0.0], None, "needs its rate: give rate_hz, such as rate_hz=16000"),
        ([0.0], 16, "rate_hz is 16, expected whole samples per second, such as 16000"),
        ([0.0], 16_000.5, "rate_hz is 16000.5"),
        ([0.0], math.nan, "rate_hz is nan"),
        ([0.0], math.inf, "rate_hz is inf"),
        ([0.0], "fast", "rate_hz is 'fast'"),
        ([0.0], True, "rate_hz is True"),
        ([], 16_000, r"holds no samples \(shape \[0\]\)"),
        (np.zeros((2, 0)), 16_000, r"holds no samples \(shape \[2, 0\]\)"),
        (np.zeros((1, 2, 3)), 16_000, r"shape \[1, 2, 3\] was given, expected \[samples\] or \[channels, samples\]"),
        (0.5, 16_000, r"shape \[\] was given"),
        (np.zeros((16_000, 2)), 16_000, r"shape \[16000, 2\] .* expected \[channels, samples\]: transpose it"),
        ([0, 16_000, -16_000], 16_000, "type int64 was given, whose full scale is unknown: expected integers"),
        (["a"], 16_000, "type <U1 was given, expected numbers"),
        ([[0.0], [0.0, 1.0]], 16_000, "type object was given"),
        ([True, False], 16_000, "type bool"),
        ([0.0, 0.0, math.nan], 16_000, "NaN or infinite samples, the first one at sample 2"),
        ([[0.0, 0.0], [0.0, math.inf]], 16_000, "the first one at sample 1"),
        ([0.0, 1e300], 16_000, "the first one at sample 1"),
    ],
)
def test_what_is_no_waveform_is_refused_in_one_line(samples: Any, rate_hz: Any, message: str) -> None:
    with pytest.raises(MediaError, match=message) as refused:
        Waveform(samples, rate_hz)

    assert "\n" not in str(refused.value)
