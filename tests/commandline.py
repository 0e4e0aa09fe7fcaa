"""The command line, called in this process."""

import logging
from dataclasses import dataclass

from typer.testing import CliRunner

from merkit.cli.main import app


@dataclass(frozen=True)
class Called:
    """What a call came to."""

    code: int
    out: str
    error: str


def call(*arguments: object, stdin: bytes | None = None) -> Called:
    """Run ``merkit`` with these arguments, and with these bytes on standard input."""
    logger = logging.getLogger("merkit")
    level = logger.level
    result = CliRunner(env={"COLUMNS": None}).invoke(app, [str(argument) for argument in arguments], stdin)
    logger.setLevel(level)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Called(result.exit_code, result.stdout, result.stderr)
