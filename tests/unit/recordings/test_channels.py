"""How two channels are told to be two speakers, one sound, or next to nothing when mixed."""

import numpy as np
import pytest
from tests.speech import RATE_HZ, speech

from merkit.core.errors import MerkitError
from merkit.core.waveform import Waveform
from merkit.recordings.channels import choose_channels


def stereo(*channels: np.ndarray) -> Waveform:
    return Waveform(np.stack(channels), RATE_HZ)


def turn_taking(seconds: float = 1.0, turns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return two voices that speak in turn, each on its own."""
    parts = [speech(seconds, seed=n) for n in range(turns)]
    silent = np.zeros_like(parts[0])
    left = np.concatenate([part if n % 2 == 0 else silent for n, part in enumerate(parts)])
    right = np.concatenate([part if n % 2 else silent for n, part in enumerate(parts)])
    return left, right


def test_two_voices_in_turn_are_two_speakers_with_noise_and_crosstalk_too() -> None:
    left, right = turn_taking()
    noise = 0.005 * np.random.default_rng(0).standard_normal((2, len(left))).astype(np.float32)

    clean = choose_channels(stereo(left, right), "auto")
    dirty = choose_channels(stereo(left + 0.1 * right + noise[0], right + 0.1 * left + noise[1]), "auto")

    assert clean.how == dirty.how == "split"
    assert clean.sentence.startswith("Two channels that differ (correlation 0.00, of levels -0.")
    assert clean.sentence.endswith("): one speaker each.")


def test_a_room_in_stereo_is_one_sound_at_other_levels_and_times_too() -> None:
    """Microphones that are apart hear a voice at other moments, so that samples correlate little and levels much."""
    left, right = turn_taking()
    voices = left + right

    louder = choose_channels(stereo(voices, 0.3 * voices), "auto")
    later = choose_channels(stereo(voices, np.roll(voices, 80)), "auto")  # 5 ms: 1.7 m

    assert louder.how == later.how == "mix"
    assert louder.sentence == "Two channels of the same sound (correlation 1.00, of levels 1.00): mixed."


def test_equal_channels_are_mixed() -> None:
    voice = speech(2.0)

    assert choose_channels(stereo(voice, voice), "auto").sentence == "Two equal channels: mixed."


def test_channels_that_cancel_are_not_mixed_to_silence() -> None:
    voice = speech(2.0)

    found = choose_channels(stereo(voice, -0.9 * voice), "auto")

    assert found.how == "left"
    assert found.sentence == ("Two channels that cancel out when mixed (correlation -1.00): the left one is read.")


@pytest.mark.parametrize(("silent", "heard"), [(0, "right"), (1, "left")])
def test_of_a_recording_with_a_silent_channel_the_other_one_is_read(silent: int, heard: str) -> None:
    channels = [speech(2.0), speech(2.0)]
    channels[silent] = np.zeros_like(channels[silent])

    assert choose_channels(stereo(*channels), "auto").how == heard


def test_voices_that_cannot_be_split_are_mixed_and_it_is_said_why() -> None:
    found = choose_channels(stereo(*turn_taking()), "auto", mix_because="the words have no times")

    assert found.how == "mix"
    assert found.sentence.endswith(": mixed, since the words have no times.")


def test_one_and_more_than_two_channels_are_mixed() -> None:
    voice = speech(1.0)

    assert choose_channels(Waveform(voice, RATE_HZ), "auto").sentence == "One channel."
    assert choose_channels(stereo(voice, voice, voice), "auto").how == "mix"
    assert choose_channels(stereo(0 * voice, 0 * voice), "auto").how == "mix"


def test_what_is_asked_for_is_done_and_what_is_unknown_refused() -> None:
    voice = Waveform(speech(1.0), RATE_HZ)

    assert choose_channels(voice, "left").how == "left"
    with pytest.raises(MerkitError, match="channels is 'both', expected one of auto, split, mix, left, right"):
        choose_channels(voice, "both")
