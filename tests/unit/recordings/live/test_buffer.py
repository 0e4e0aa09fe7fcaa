"""The sound of turns, cut out of a stream of which only the last seconds are in memory."""

import numpy as np
import pytest
from tests.speech import speech

from merkit.core.waveform import Waveform
from merkit.data.media.audio import read_audio
from merkit.recordings.live.buffer import SoundBuffer
from merkit.recordings.live.sources import Block

RATE_HZ = 44_100


def buffered(samples: np.ndarray, size: int, needed_ms: int = 0) -> SoundBuffer:
    """Return a stream whose blocks arrive when they are spoken, 100 s after the clock's zero."""
    sound = SoundBuffer(RATE_HZ)
    for begin in range(0, samples.shape[1], size):
        block = samples[:, begin : begin + size]
        sound.append(Block(block, 100.0 + (begin + block.shape[1]) / RATE_HZ))
    sound.discard(needed_ms)
    return sound


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_an_excerpt_has_the_samples_of_the_whole(channels: int, rate_hz: int) -> None:
    samples = np.stack([speech(14.0, seed=n) for n in range(channels)])  # of any rate
    whole = Waveform(samples if channels > 1 else samples[0], RATE_HZ)

    excerpt = buffered(samples, 882, 2500).excerpt(3104, 4512)

    own = read_audio(excerpt.sound, rate_hz, excerpt.start_s, excerpt.end_s)
    assert own == pytest.approx(read_audio(whole, rate_hz, 3.104, 4.512), abs=1e-6)
    assert excerpt.sound.channels == channels
    assert excerpt.sound.duration_s < 2.0


def test_sound_that_no_turn_needs_is_discarded() -> None:
    samples = np.zeros((1, 6 * RATE_HZ), np.float32)

    sound = buffered(samples, 441, 5090)  # 0.1 s before lies in the fourth second

    assert sound.excerpt(5090, 5500).sound.duration_s == pytest.approx(1.6, abs=1e-4)
    with pytest.raises(ValueError, match="not in the buffer"):
        sound.arrival_s(6100)


def test_a_moment_arrived_when_its_sample_did() -> None:
    samples = np.zeros((1, 3 * RATE_HZ), np.float32)

    assert buffered(samples, 1000, 1500).arrival_s(2000) == pytest.approx(102.0, abs=1e-3)
