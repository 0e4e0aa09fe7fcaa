"""What holds before any command runs."""

import os

import pytest

from merkit.cli import main


@pytest.mark.parametrize(("given", "kept"), [(None, "128"), ("16", "16")])
def test_few_compiled_kernels_are_kept_unless_the_user_says_how_many(
    monkeypatch: pytest.MonkeyPatch, given: str | None, kept: str
) -> None:
    for name in main._CACHES:
        monkeypatch.setenv(name, given) if given else monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(main, "raise_at_signals", lambda: None)
    monkeypatch.setattr(main, "app", lambda: None)

    main.run()

    assert [os.environ.pop(name) for name in main._CACHES] == [kept, kept]
