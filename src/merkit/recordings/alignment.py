"""Alignment in memory, for a checkpoint that reads phones, syllables or words of recordings that no corpus holds."""

from collections.abc import Sequence

from merkit.aligners import pocketsphinx
from merkit.aligners.segments.run import align, describe_failures
from merkit.core.alignment import SegmentRequest
from merkit.core.types import Turn
from merkit.data.dataset import SegmentTier
from merkit.data.segments import Alignments, input_hash


def align_turns(request: SegmentRequest | None, turns: Sequence[Turn]) -> tuple[dict[str, SegmentTier], str | None]:
    """Return the times of the requested segments by tier, and a note on turns that could not be aligned, if any.

    Turns that cannot be aligned have no segments and are read frame by frame. PocketSphinx with its own settings is the
    one aligner that needs nothing that a checkpoint does not hold.

    Raises:
        MerkitError: PocketSphinx is needed and not installed, or a recording cannot be read.
    """
    if request is None:
        return {}, None
    alignments = Alignments()
    alignable = [turn.utterance.id for turn in turns if input_hash(turn) is not None]
    if request.alignment == pocketsphinx.SPEC.name:
        aligner = pocketsphinx.SPEC.build(pocketsphinx.PocketSphinxConfig())
        failed = align(aligner, turns, alignments, unaligned_as_frames=True).failed
    else:  # made from files, or with settings that a checkpoint does not hold
        failed = dict.fromkeys(
            alignable, f"an alignment like the checkpoint's '{request.alignment}' cannot be made here"
        )
    note = None
    if failed:
        note = f"{describe_failures(failed, len(alignable))}. They were read frame by frame."
    return alignments.times(request.tiers), note
