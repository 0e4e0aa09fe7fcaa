"""``merkit analyze --live``: label turns of speech while they are spoken, a line of JSON each."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.cli.console import show_json
from merkit.cli.stopping import stop_at_signals
from merkit.core.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from merkit.io.decision_rule import DecisionOptions
    from merkit.recordings.live.sources import Source

PIPE = Path("-")
"""Stands for standard input."""


def refuse_options(given: Mapping[str, Any], why: str) -> None:
    """Refuse options that do not fit the command.

    Args:
        given: Their values by name; ``None`` and ``False``: the option was not given.
        why: What these options are for.

    Raises:
        ConfigError: One was given.
    """
    for name, value in given.items():
        if value is not None and value is not False:
            raise ConfigError(f"{name} is for {why}: leave it out")


def analyze_live(
    recordings: Sequence[Path],
    checkpoint: Path,
    decision: "DecisionOptions",
    *,
    rate_hz: int,
    channel_count: int,
    asr: str | None,
    **options: Any,
) -> None:
    """Print each turn of the microphone, or of raw PCM on standard input, soon after it ends.

    Ctrl-C ends the turn that is open, prints it, and ends the command.

    Args:
        recordings: None, for the microphone, or `PIPE`.
        checkpoint: As of ``analyze``.
        decision: As of ``analyze``.
        rate_hz: Samples per second.
        channel_count: How many channels the sound has.
        asr: A recogniser of words; ``None``: none are recognised.
        options: Those of `EmotionRecognizer.live`.

    Raises:
        MerkitError: A file was given, or as of `EmotionRecognizer.live`.
    """
    if list(recordings) not in ([], [PIPE]):
        raise ConfigError(
            f"'{recordings[0]}': --live labels the microphone, or with - what is piped in; leave out --live for a file"
        )
    source = _source(bool(recordings), rate_hz, channel_count)
    from merkit.api.recognition import load

    recognizer = load(str(checkpoint), labels=decision.labels, prior=decision.prior)
    with stop_at_signals(source.stop):
        for turn in recognizer.live(source, asr=asr or False, **options):
            show_json(turn.to_dict())
            sys.stdout.flush()


def _source(is_pipe: bool, rate_hz: int, channel_count: int) -> "Source":
    from merkit.recordings.live.microphone import Microphone
    from merkit.recordings.live.sources import PcmSource

    if not is_pipe:
        return Microphone(rate_hz, channel_count)
    if sys.stdin is None or sys.stdin.isatty():
        raise MediaError(
            "standard input is a terminal: pipe raw PCM into it (16 bits, little endian), or leave out - for the "
            "microphone"
        )
    file = sys.stdin.buffer
    raw = getattr(file, "raw", file)  # no buffer, whose lock a thread that waits would hold at the end
    return PcmSource(raw, rate_hz, channel_count, name="standard input")
