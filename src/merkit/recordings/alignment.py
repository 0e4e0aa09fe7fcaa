"""Alignment in memory, for a checkpoint that reads phones, syllables or words of recordings that no corpus holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.aligners import pocketsphinx
from merkit.aligners.segments.run import align
from merkit.core.alignment import Aligner, Alignment, SegmentRequest
from merkit.core.errors import UnalignableError
from merkit.core.types import Turn
from merkit.data.dataset import SegmentTier
from merkit.data.segments import Alignments


class _Unknown(Aligner):
    """Stands for an alignment that came from files or with settings that a checkpoint does not hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fingerprint(self) -> Mapping[str, Any]:
        return {"aligner": "none", "version": 1}

    def align(self, turn: Turn) -> Alignment:
        raise UnalignableError(f"an alignment like the checkpoint's '{self.name}' cannot be made here")


def align_turns(request: SegmentRequest | None, turns: Sequence[Turn]) -> tuple[dict[str, SegmentTier], str | None]:
    """Return the times of the requested segments by tier, and a note on turns that could not be aligned, if any.

    Turns that cannot be aligned have no segments and are read frame by frame. PocketSphinx with its own settings is the
    one aligner that needs nothing that a checkpoint does not hold.

    Raises:
        MerkitError: PocketSphinx is needed and not installed, or a recording cannot be read.
    """
    if request is None:
        return {}, None
    aligner: Aligner = _Unknown(request.alignment)
    if request.alignment == pocketsphinx.SPEC.name:
        aligner = pocketsphinx.SPEC.build(pocketsphinx.PocketSphinxConfig())
    alignments = Alignments()
    done = align(aligner, turns, alignments, unaligned_as_frames=True)
    note = f"{done.failures}. They were read frame by frame." if done.failed else None
    return alignments.times(request.tiers), note
