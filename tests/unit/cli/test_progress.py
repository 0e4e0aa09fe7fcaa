import logging

import pytest

from merkit.cli.progress import shown_progress


@pytest.mark.parametrize(("level", "told"), [(logging.INFO, ["media: 1 of 3", "media: 2 of 3"]), (logging.ERROR, [])])
def test_progress_is_told_unless_all_is_quiet(
    level: int, told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("merkit")
    before = log.level
    log.setLevel(level)
    monkeypatch.setattr("merkit.cli.progress._LINE_EVERY_S", 0.0)

    with shown_progress() as progress:
        progress("media", 1, 3)
        progress("media", 2, 3)

    log.setLevel(before)
    assert capsys.readouterr().err.splitlines() == told
