"""The command line: ``merkit``. Nothing heavy is imported before a command runs."""

import functools
import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from merkit import __version__
from merkit.cli import align, analyze, augment, corpora, demo, features, lists, predict, report, train
from merkit.cli.options import is_first_process
from merkit.core.errors import MerkitError

app = typer.Typer(
    help="Multimodal emotion recognition: from a corpus to a number that can be believed, and on to your recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_settings = {"debug": False}


def _version(asked: bool) -> None:
    if asked:
        print(f"merkit {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _settings["debug"] = debug
    quiet = quiet or not is_first_process()
    logging.basicConfig(level=logging.ERROR if quiet else logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("merkit").setLevel(logging.ERROR if quiet else logging.INFO)


def _told(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors that a user can mend into one line and exit code 2, and Ctrl-C into exit code 130."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except MerkitError as error:
            if _settings["debug"]:
                raise
            print(f"merkit: {error}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print("merkit: stopped. The same command goes on from here.", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapped


for command in (
    demo.demo,
    corpora.prepare,
    corpora.doctor,
    features.features,
    align.align,
    augment.augment,
    train.train,
    report.report,
    predict.predict,
    analyze.analyze,
    lists.cite,
):
    app.command()(_told(command))
app.command(name="list")(_told(lists.list_names))


def run() -> None:
    """Run the command line with the process' arguments."""
    app()
