"""What every aligner must do. A file dropped into ``merkit/aligners`` is tested here without any edit."""

import importlib

import pytest
from pydantic import ValidationError

from merkit.core import lookup

NAMES = lookup.names("aligners")


def test_there_are_aligners() -> None:
    assert set(NAMES) >= {"ctc", "files", "pocketsphinx"}


@pytest.mark.parametrize("name", NAMES)
def test_an_aligner_says_what_it_is(name: str) -> None:
    spec = lookup.load("aligners", name)

    assert spec.name == name
    assert spec.summary.strip()
    assert (importlib.import_module(f"merkit.aligners.{name}").__doc__ or "").strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_setting_is_an_error(name: str) -> None:
    with pytest.raises(ValidationError, match="dictoinary"):
        lookup.load("aligners", name).config(dictoinary="x")
