"""The command line: ``merkit``. Nothing heavy is imported before a command runs."""

import errno
import functools
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from merkit import __version__
from merkit.cli import (
    align,
    analyze,
    augment,
    corpora,
    corpus,
    demo,
    features,
    lists,
    predict,
    report,
    train,
    transcribe,
)
from merkit.cli.console import MessageHandler, messages
from merkit.cli.options import is_first_process
from merkit.cli.stopping import forget_output, raise_at_signals, stopped_code
from merkit.core.errors import MerkitError

app = typer.Typer(
    help="Multimodal emotion recognition: train and compare systems by published protocols, label recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_settings = {"debug": False}
_SHAPES = "128"
_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Environment variables: for how many shapes of input PyTorch keeps compiled kernels on a processor. A recording of
hours fills its default of 1,024, as utterances differ in length; 128 take a tenth less memory and the same time."""


def _version(asked: bool) -> None:
    if asked:
        print(f"merkit {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the losses and validation scores of every epoch.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _settings["debug"] = debug
    quiet = quiet or not is_first_process()
    logging.basicConfig(
        level=logging.ERROR if quiet else logging.WARNING, format="%(message)s", handlers=[MessageHandler()]
    )
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    logging.getLogger("merkit").setLevel(level)


def _with_exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors that a user can correct into one line and exit code 2, and Ctrl-C into exit code 130."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
            sys.stdout.flush()  # here a full disk or a closed pipe is still distinguished from an error of Python's own
        except (MerkitError, OSError) as error:
            if isinstance(error, OSError) and error.errno is None:
                raise  # not the system's
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                forget_output()
                raise typer.Exit(1) from None
            if _settings["debug"]:
                messages().print(traceback.format_exc())
            messages().print(f"merkit: {error if isinstance(error, MerkitError) else _described(error)}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            raise typer.Exit(stopped_code(error, command.__name__, options)) from None

    return wrapped


def _described(error: OSError) -> str:
    """Return an error of the system as one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        forget_output()
        return f"no space is left to write to ({error}): make room and repeat the command."
    about = " and ".join(f"'{name}'" for name in (error.filename, error.filename2) if name is not None)
    return f"{error.strerror or error}{f': {about}' if about else ''}"


for command in (
    demo.demo,
    corpora.prepare,
    corpora.doctor,
    align.align,
    augment.augment,
    train.train,
    report.report,
    predict.predict,
    analyze.analyze,
    transcribe.transcribe,
    lists.cite,
    lists.copy,
):
    app.command()(_with_exit_codes(command))
_features = typer.Typer(
    cls=features.ExtractByDefault,
    help="Extract features for a whole corpus (merkit features DATA --encoder NAME), import your own, or export them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
for name, inner in features.COMMANDS.items():
    _features.command(name=name)(_with_exit_codes(inner))
app.add_typer(_features, name="features")
_corpus = typer.Typer(
    help="Make corpora of merkit's own outputs.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
for name, inner in corpus.COMMANDS.items():
    _corpus.command(name=name)(_with_exit_codes(inner))
app.add_typer(_corpus, name="corpus")
app.command(name="list")(_with_exit_codes(lists.list_names))


def run() -> None:
    """Run the command line with the process' arguments."""
    raise_at_signals()
    for name in _CACHES:
        os.environ.setdefault(name, _SHAPES)  # read when torch is imported
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (open to the end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a narrow encoding lacks is no reason to fail
    app()
