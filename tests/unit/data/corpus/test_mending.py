import pytest

from merkit.data.corpus.mending import damage, decode_text, mend


@pytest.mark.parametrize(
    ("damaged", "meant", "kind"),
    [
        ("It\x92s late\x85", "It’s late…", "controls"),
        ("\x93yes\x94 \x97 no", "“yes” — no", "controls"),
        ("It\u00e2\u20ac\u2122s", "It’s", "mojibake"),
        ("It\u00e2\x80\x99s", "It’s", "mojibake"),
        ("caf\u00c3\u00a9", "café", "mojibake"),
        ("\u00f0\u0178\u02dc\u20ac!", "😀!", "mojibake"),
    ],
)
def test_windows_1252_leftovers_become_what_was_meant(damaged, meant, kind):
    assert mend(damaged) == meant
    assert damage(damaged) == (kind,)
    assert damage(meant) == ()


@pytest.mark.parametrize(
    "text", ["", "plain", "It’s — “fine”…", "zażółć gęślą jaźń", "Ärger, naïve café", "Ã", "São £5", "日本語 😀"]
)
def test_sound_text_stays_as_it_is(text):
    assert mend(text) == text
    assert damage(text) == ()


def test_odd_letters_that_are_no_utf_8_stay_as_they_are():
    text = "\u00e0\u20ac\u20ac"  # E0 80 80: forbidden in UTF-8

    assert mend(text) == text


def test_a_control_that_windows_1252_does_not_define_stays_and_is_reported():
    assert mend("a\x81b") == "a\x81b"
    assert damage("a\x81b") == ("controls",)


def test_a_lost_letter_is_reported_but_cannot_be_mended():
    assert mend("caf\ufffd") == "caf\ufffd"
    assert damage("caf\ufffd") == ("replacement",)


def test_several_kinds_of_damage_are_all_reported():
    assert damage("\x92 \u00c3\u00a9 \ufffd") == ("controls", "mojibake", "replacement")


def test_bytes_of_two_encodings_in_one_file_lose_nothing():
    text = decode_text(b"\xef\xbb\xbfIt\x92s a caf\xc3\xa9, not a caf\xe9")

    assert mend(text) == "It’s a café, not a café"
