"""The voice: what was asked for is heard, times are true, and nothing is left over from one utterance to the next."""

import ctypes
import re
import sys
from itertools import pairwise

import numpy as np
import pytest

from merkit.core.errors import MerkitError
from merkit.corpora._parley_cast import VOICES
from merkit.corpora._parley_voice import RATE_HZ, Manner, Voice, engine, speak

pytest.importorskip("espeakng_loader", reason="needs the extra 'demo'")

PLAIN = Manner(pitch=50, pitch_range=40, rate_wpm=170, volume=60)
WOMAN, MAN = VOICES[0], VOICES[1]
WORDS = ("We", "can", "talk", "about", "the", "garden", "fence", "with", "Anna.")


def f0(samples):
    parselmouth = pytest.importorskip("parselmouth", reason="needs the extra 'prosody'")
    track = parselmouth.Sound(samples.astype(np.float64), RATE_HZ).to_pitch(pitch_floor=50, pitch_ceiling=600)
    frequency = track.selected_array["frequency"]
    return frequency[frequency > 0]


def loudness_db(samples):
    return 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))


def test_speaking_is_a_pure_function_even_while_somebody_holds_the_library():
    library, data, _ = engine()
    held = ctypes.CDLL(str(library))
    held.espeak_Initialize(2, 0, str(data).encode(), 0x8000)
    first = speak(WORDS, WOMAN, PLAIN)
    speak(["No!"], MAN, Manner(20, 90, 300, 120))

    again = speak(WORDS, WOMAN, PLAIN)

    np.testing.assert_array_equal(again.samples, first.samples)
    assert (again.words, again.phones) == (first.words, first.phones)


@pytest.mark.parametrize("voice", [WOMAN, MAN], ids=["woman", "man"])
def test_a_higher_pitch_is_heard_as_a_higher_pitch(voice):
    low, high = (f0(speak(WORDS, voice, Manner(pitch, 0, 170, 60)).samples).mean() for pitch in (36, 68))

    assert high / low == pytest.approx(2**0.5, rel=0.06)  # half an octave, but for rounding and measuring


def test_a_wider_range_is_heard_as_a_wider_range():
    narrow, wide = (f0(speak(WORDS, WOMAN, Manner(50, width, 170, 60)).samples) for width in (10, 90))

    assert wide.std() > 2 * narrow.std()


def test_a_faster_rate_takes_less_time():
    slow, fast = (len(speak(WORDS, WOMAN, Manner(50, 40, rate, 60)).samples) for rate in (120, 240))

    assert slow / fast == pytest.approx(2, rel=0.25)  # not every phone is shortened alike


def test_volume_is_linear_in_amplitude():
    quiet, loud = (loudness_db(speak(WORDS, WOMAN, Manner(50, 40, 170, volume)).samples) for volume in (60, 120))

    assert loud - quiet == pytest.approx(20 * np.log10(2), abs=0.3)  # eSpeak rounds amplitudes


def test_women_speak_higher_than_men():
    women, men = (
        [f0(speak(WORDS, voice, PLAIN).samples).mean() for voice in VOICES[:8] if voice.gender == gender]
        for gender in ("female", "male")
    )

    assert len(women) == len(men) == 4
    assert min(women) > 1.2 * max(men)


def test_words_follow_each_other_within_the_recording():
    speech = speak(WORDS, MAN, PLAIN)
    duration_s = len(speech.samples) / RATE_HZ

    assert [word.label for word in speech.words] == list(WORDS)
    for word, following in pairwise(speech.words):
        assert 0 <= word.start_s < word.end_s <= duration_s
        assert (following.start_s >= word.end_s - 1e-9) or following.start_s == word.start_s
    assert duration_s - speech.words[-1].end_s < 0.06


def test_phones_fill_the_words_and_are_those_of_the_dictionary():
    speech = speak(("Hello,", "Tom!"), WOMAN, PLAIN)
    first, second = speech.words

    heard = ["".join(c for c in phone.label if c not in "ˈˌː") for phone in speech.phones]

    assert "".join(heard) == "həloʊtɑm"  # General American, as in any pronouncing dictionary
    for phone, following in pairwise(speech.phones):
        assert phone.start_s < phone.end_s <= following.start_s + 1e-9
    assert speech.phones[0].start_s == first.start_s
    assert speech.phones[-1].end_s == second.end_s


def test_the_times_point_at_the_sound():
    speech = speak(("Tea,", "sir."), MAN, PLAIN)
    pause = speech.samples[int(speech.words[0].end_s * RATE_HZ) + 200 : int(speech.words[1].start_s * RATE_HZ) - 200]
    vowel = next(phone for phone in speech.phones if phone.label.strip("ˈː") == "i")
    voiced = speech.samples[int(vowel.start_s * RATE_HZ) : int(vowel.end_s * RATE_HZ)]

    assert len(pause) > 0.03 * RATE_HZ
    assert loudness_db(voiced) > loudness_db(pause + 1e-6) + 30


@pytest.mark.parametrize("stressed", [3, 5, 8])
def test_a_stressed_word_is_higher_louder_and_longer(stressed):
    plain, marked = speak(WORDS, WOMAN, PLAIN), speak(WORDS, WOMAN, PLAIN, stressed)

    def word(speech):
        span = speech.words[stressed]
        return speech.samples[int(span.start_s * RATE_HZ) : int(span.end_s * RATE_HZ)]

    assert len(word(marked)) > 1.15 * len(word(plain))
    assert loudness_db(word(marked)) > loudness_db(word(plain)) + 3
    assert np.median(f0(word(marked))) > 1.1 * np.median(f0(word(plain)))


def test_a_hesitation_is_silence_before_its_word_and_leaves_words_about_as_long_as_they_are():
    fluent, halting = speak(WORDS, WOMAN, PLAIN), speak(WORDS, WOMAN, PLAIN, None, (0, 0, 0, 0, 0, 800, 0, 0, 0))

    longer = [b.end_s - b.start_s - a.end_s + a.start_s for a, b in zip(fluent.words, halting.words, strict=True)]
    silence = halting.words[5].start_s - halting.words[4].end_s
    heard = halting.samples[int((halting.words[4].end_s + 0.05) * RATE_HZ) : int(halting.words[5].start_s * RATE_HZ)]
    assert longer == pytest.approx([0.0] * len(WORDS), abs=0.1)
    assert 0.3 < silence < 1.6  # eSpeak NG shortens and lengthens pauses with the rate of speech
    assert loudness_db(heard + 1e-6) < loudness_db(halting.samples) - 20


def test_signs_of_markup_in_the_text_are_spoken_not_obeyed():
    assert [word.label for word in speak(("Fish", "&", "<chips>."), WOMAN, PLAIN).words] == ["Fish", "&", "<chips>."]


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_every_voice_speaks_without_clipping_at_its_loudest(voice):
    samples = speak(("What", "a", "day!"), voice, Manner(60, 60, 240, 150)).samples

    assert samples.dtype == np.float32
    assert 0.02 < np.abs(samples).max() < 1.0


@pytest.mark.parametrize("name", ["gmw/en-US+nobody9", "gmw/en-nowhere+f2"])
def test_an_unknown_voice_is_named(name):
    with pytest.raises(MerkitError, match=f"no voice '{re.escape(name)}'"):
        speak(WORDS, Voice(name, "female"), PLAIN)


def test_a_text_without_a_word_is_an_error():
    with pytest.raises(MerkitError, match="gave no sound for '\\.'"):
        speak((".",), WOMAN, PLAIN)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)

    with pytest.raises(MerkitError, match=r"pip install 'merkit\[demo\]'"):
        speak(WORDS, WOMAN, PLAIN)
