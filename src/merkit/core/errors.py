"""Errors that a user can correct: each says what was found, what was expected and what to do."""


class MerkitError(Exception):
    """A mistake in the input, described in one line; the command line prints it and exits with code 2."""


class ManifestError(MerkitError):
    """A manifest that cannot be read or breaks its own rules."""


class MediaError(MerkitError):
    """A recording that is missing, unreadable, empty, truncated or not audio."""


class OutputError(MerkitError):
    """A folder that cannot be written to: full, read-only, forbidden; no other output could be written there either."""


class CountError(MerkitError):
    """A corpus whose counts differ from the published ones."""


class ConfigError(MerkitError):
    """A recipe, option or model configuration with mistakes; all of them are listed."""


class CheckpointError(MerkitError):
    """A checkpoint that is incomplete, damaged, of another format or newer than this version."""


class UnsafeFileError(MerkitError):
    """A file that would run code when it is read."""


class NonFiniteLossError(MerkitError):
    """A loss that became NaN or infinite; the message names the batch."""


class UnknownNameError(MerkitError):
    """A name that no plug-in, recipe or model has."""


class PluginError(MerkitError):
    """A plug-in that is missing, cannot be imported, or is not what its kind expects."""


class UnalignableError(MerkitError):
    """An utterance whose words an aligner cannot find in its recording."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
