"""Words and plans: what is said, by whom, and how evenly it is spread."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from merkit.corpora._parley_cast import STYLES, VOICES, draw_manner
from merkit.corpora._parley_model import EMOTIONS, ORDERS
from merkit.corpora._parley_plan import make_plan, splits
from merkit.corpora._parley_text import (
    JUDGEMENTS,
    KINDS,
    MATTERS,
    TEMPLATES,
    draw_judgement,
    draw_list,
    draw_sentence,
)
from merkit.corpora.parley import ParleyOptions


def planned(**options):
    return make_plan(ParleyOptions(**options))


def test_templates_are_distinct_and_every_class_can_say_hundreds_of_sentences():
    everything = [template for templates in TEMPLATES.values() for template in templates]
    rng = np.random.default_rng(0)

    assert tuple(TEMPLATES) == EMOTIONS
    assert len(set(everything)) == len(everything)
    for name in EMOTIONS:
        said = {draw_sentence(name, int(rng.integers(len(MATTERS))), rng) for _ in range(600)}
        assert len(said) > 350
        assert not any("{" in sentence for sentence in said)
        assert all(sentence[0].isupper() for sentence in said)


def test_orders_are_all_arrangements_of_two_words_of_each_kind():
    assert len(set(ORDERS)) == len(ORDERS) == 2520  # 8! / 2!^4
    assert all(sorted(order) == [0, 0, 1, 1, 2, 2, 3, 3] for order in ORDERS)


@pytest.mark.parametrize("place", range(8))
def test_a_list_names_words_of_the_asked_kinds_once_and_stresses_that_in_the_place(place):
    rng = np.random.default_rng(place)
    for order in ORDERS[place::50]:
        text, stressed = draw_list(order, place, rng)

        words = text.removesuffix(".").split()
        named = words[-8:]

        assert words[stressed] == named[place]
        assert all(word in KINDS[kind] for word, kind in zip(named, order, strict=True))
        assert len(set(named)) == 8


def test_kinds_share_no_word_and_are_of_one_size():
    assert [len(set(words)) for words in KINDS] == [24] * 4
    assert len({word for words in KINDS for word in words}) == 96


def test_no_speaker_is_in_two_splits_and_no_session_has_more_than_two():
    where, pairs = defaultdict(set), defaultdict(set)
    for conversation in planned():
        for turn in conversation.turns:
            where[turn.speaker].add(conversation.split)
            pairs[conversation.session].add(turn.speaker)

    assert len(where) == 20
    assert all(len(parts) == 1 for parts in where.values())
    assert all(len(members) == 2 for members in pairs.values())


def test_labels_are_nearly_even_in_every_split():
    counts = defaultdict(Counter)
    for conversation in planned():
        counts[conversation.split].update(turn.emotion for turn in conversation.turns)

    assert set(counts) == {"train", "valid", "test"}
    for counter in counts.values():
        assert max(counter.values()) - min(counter.values()) <= 12
        assert set(counter) == set(EMOTIONS)


@pytest.mark.parametrize("sessions", range(3, 13))
def test_every_number_of_sessions_gives_all_three_splits(sessions):
    parts = splits(sessions)

    assert len(parts) == sessions
    assert set(parts) == {"train", "valid", "test"}


def test_conversations_have_about_as_many_turns_as_asked():
    lengths = [len(conversation.turns) for conversation in planned(turns=12)]

    assert min(lengths) == 10
    assert max(lengths) == 14


def test_the_same_seed_plans_the_same_and_another_seed_something_else():
    first, again, other = planned(seed=1), planned(seed=1), planned(seed=2)

    assert [c.turns for c in first] == [c.turns for c in again]
    assert not {c.turns for c in first} & {c.turns for c in other}


@pytest.mark.parametrize("mode", ["complementary", "xor"])
def test_cues_in_the_plan_follow_the_asked_strengths(mode):
    sure = planned(mode=mode, words_valence=1, words_arousal=1, prosody_valence=1, prosody_arousal=1)
    bits = {"neutral": 0b00, "happy": 0b01, "angry": 0b11, "sad": 0b10}
    turns = [turn for conversation in sure for turn in conversation.turns]

    for turn in turns:
        words, prosody, emotion = (bits[name] for name in (turn.words_class, turn.prosody_class, turn.emotion))
        assert (words, prosody) == (emotion, emotion) if mode == "complementary" else words ^ prosody == emotion
    assert len(turns) > 900


def test_in_mode_word_prosody_the_kind_under_stress_is_the_emotion():
    sure = planned(mode="word_prosody", words_valence=1, words_arousal=1, prosody_valence=1, prosody_arousal=1)

    for conversation in sure:
        for turn in conversation.turns:
            word = turn.text.split()[turn.stressed].strip(".")
            assert word in KINDS[EMOTIONS.index(turn.emotion)]


def test_manners_stay_in_what_the_engine_takes():
    rng = np.random.default_rng(0)
    for voice in VOICES:
        for style in STYLES:
            for _ in range(50):
                manner = draw_manner(style, voice, rng)
                assert 0 <= manner.pitch <= 99
                assert 0 <= manner.pitch_range <= 99
                assert 80 <= manner.rate_wpm <= 450
                assert 10 <= manner.volume <= 150
    assert len({voice.name for voice in VOICES}) == len(VOICES) == 24


def test_hesitation_puts_silence_before_that_part_of_the_words_and_changes_nothing_else():
    fluent, halting = planned(), planned(hesitation=0.3)

    silences = []
    for plain, conversation in zip(fluent, halting, strict=True):
        assert plain.fingerprint() != conversation.fingerprint()
        for turn, hesitating in zip(plain.turns, conversation.turns, strict=True):
            assert replace(hesitating, hesitations_ms=()) == turn
            assert len(hesitating.hesitations_ms) == len(turn.text.split())
            assert hesitating.hesitations_ms[0] == 0
            silences += hesitating.hesitations_ms[1:]
    there = [silence for silence in silences if silence]
    assert len(there) / len(silences) == pytest.approx(0.3, abs=0.02)  # some 9,000 words: standard error 0.005
    assert min(there) >= 200
    assert max(there) < 1500


def test_without_hesitation_a_recording_is_made_of_what_it_was_before_there_was_any():
    conversation = planned()[0]
    turns = tuple(replace(turn, hesitations_ms=(0,) * len(turn.text.split())) for turn in conversation.turns)

    assert replace(conversation, turns=turns).fingerprint() == conversation.fingerprint()


def test_in_mode_xor_one_word_tells_the_class_and_nothing_else_differs():
    for seed in range(200):
        said = [draw_judgement(name, seed % len(MATTERS), np.random.default_rng(seed)).split() for name in EMOTIONS]
        differing = [words for words in zip(*said, strict=True) if len(set(words)) > 1]
        assert len(differing) == 1
        for name, word in zip(EMOTIONS, differing[0], strict=True):
            assert word.rstrip(".") in JUDGEMENTS[name]


def test_the_words_that_tell_the_class_are_distinct_and_as_many_and_as_long_for_each():
    everything = [word for words in JUDGEMENTS.values() for word in words]
    lengths = {name: np.mean([len(word) for word in words]) for name, words in JUDGEMENTS.items()}

    assert tuple(JUDGEMENTS) == EMOTIONS
    assert len(set(everything)) == len(everything)
    assert len({len(words) for words in JUDGEMENTS.values()}) == 1
    assert max(lengths.values()) - min(lengths.values()) < 1.5


def test_what_is_said_in_mode_xor_is_of_the_words_class_and_spoken_without_exclamation():
    for conversation in planned(mode="xor"):
        for turn in conversation.turns:
            found = [word for word in turn.text.rstrip(".").split() if word in JUDGEMENTS[turn.words_class]]
            assert len(found) == 1
            assert turn.text.endswith(".")
            assert not set(turn.text) & set("!?,;:")
