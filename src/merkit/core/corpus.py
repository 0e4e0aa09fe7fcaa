"""The interface of a corpus adapter: from a raw release to utterances and the features published with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from merkit.core.arrays import Array
from merkit.core.lookup import PlugInSpec
from merkit.core.model import Citation
from merkit.core.settings import Settings
from merkit.core.types import Utterance


class CorpusOptions(Settings):
    """Settings of an adapter."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `merkit doctor`: level, kind, description, and the utterances concerned."""

    level: str
    """``info``, ``warning`` or ``error``."""
    code: str
    message: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedFeatures:
    """Features that come with a release, one array ``[time, dim]`` per utterance id; NaN means undefined."""

    name: str
    modality: str
    arrays: Mapping[str, Array]
    columns: tuple[str, ...] = ()
    """Names of the last axis, with units, where known."""


@dataclass(frozen=True, slots=True)
class RawCorpus:
    """What an adapter reads: utterances by conversation and turn, features, and findings."""

    utterances: Sequence[Utterance]
    features: Sequence[PublishedFeatures] = ()
    findings: Sequence[Finding] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON values for ``corpus.json`` (parley: its parameters and best reachable accuracy)."""


@dataclass(frozen=True, kw_only=True)
class CorpusSpec(PlugInSpec):
    """What an adapter's file exports as ``SPEC``.

    ``read(raw, options)`` reads a release; media paths in the result are relative to ``raw``.
    """

    kind: ClassVar[str] = "corpora"
    version: int
    """Raised when the adapter's output changes."""
    options: type[CorpusOptions] = CorpusOptions
    read: Callable[[Path, Any], RawCorpus]
    expected: Mapping[str, int] = field(default_factory=dict)
    """Published counts: ``utterances``, ``conversations``, and ``<split>`` or ``<split>.conversations``."""
    citation: Citation | None = None
    licence: str = ""
    example: Callable[[Path], Mapping[str, Any] | None] | None = None
    """For the contract tests: write a tiny made-up release below a folder, return options to read it with, if any."""
    makes_media: bool = False
    """Whether the adapter makes its corpus below ``raw`` (parley), so that no release is needed."""
