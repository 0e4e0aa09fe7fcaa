"""The alignment of what was recorded just now, for a checkpoint that reads phones, syllables or words."""

from collections.abc import Mapping
from typing import Any

from merkit.aligners import pocketsphinx
from merkit.core.alignment import Aligner, Alignment, SegmentRequest
from merkit.core.errors import UnalignableError
from merkit.core.types import Turn
from merkit.data.corpus.manifest import Manifest
from merkit.data.segments.store import FOLDER, AlignmentStore, align, told_failures


class _Unknown(Aligner):
    """Stands for an alignment that came from files or with settings that a checkpoint does not hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fingerprint(self) -> Mapping[str, Any]:
        return {"aligner": "none", "version": 1}

    def align(self, turn: Turn) -> Alignment:
        raise UnalignableError(f"an alignment like the checkpoint's '{self.name}' cannot be made here")


def align_recording(request: SegmentRequest, manifest: Manifest) -> str | None:
    """Align all utterances below a manifest's folder; return a note on those that will be read frame by frame, if any.

    PocketSphinx with its own settings is the one aligner that needs nothing that a checkpoint does not hold.

    Raises:
        MerkitError: PocketSphinx is needed and not installed, or a recording cannot be read.
    """
    aligner: Aligner = _Unknown(request.alignment)
    if request.alignment == pocketsphinx.SPEC.name:
        aligner = pocketsphinx.SPEC.build(pocketsphinx.PocketSphinxConfig())
    store = AlignmentStore.create(manifest.root / FOLDER / request.alignment, request.alignment, aligner.fingerprint())
    turns = list(manifest.turns())
    done = align(aligner, turns, store, unaligned_as_frames=True)
    if not done.failed:
        return None
    return f"{told_failures(done.failed, len(turns) - done.absent)}. They were read frame by frame."
