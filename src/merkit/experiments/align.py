"""Align a whole corpus, as `merkit align` does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merkit.aligners.segments.run import Aligned, align
from merkit.core.alignment import AlignerSpec
from merkit.core.errors import UnalignableError
from merkit.core.lookup import load
from merkit.core.progress import ProgressCallback
from merkit.data.corpus.manifest import read_manifest
from merkit.data.segments import FOLDER, AlignmentStore
from merkit.experiments.mistakes import check_options

REMEDY = "Correct these, or read them frame by frame with --unaligned frame"
"""What to do about utterances that cannot be aligned."""


def align_corpus(
    data: Path,
    aligner: str,
    name: str | None,
    settings: Mapping[str, Any],
    *,
    unaligned_as_frames: bool,
    fail_fast: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[Path, Aligned]:
    """Align what the alignment ``<data>/segments/<name>`` lacks (``None``: the aligner's name), and return its folder.

    Utterances that cannot be aligned or read are named in what is returned; all others are aligned and kept.

    Raises:
        MerkitError: An unknown aligner or setting; with ``fail_fast`` also an unreadable recording, and after all
            others are aligned an utterance that cannot be, unless ``unaligned_as_frames``.
    """
    spec: AlignerSpec = load("aligners", aligner)
    config = check_options(spec.config, settings, f"aligner {aligner}")
    manifest = read_manifest(data)
    made = spec.build(config)
    folder = manifest.root / FOLDER / (aligner if name is None else name)
    store = AlignmentStore.create(folder, aligner, made.fingerprint())
    done = align(
        made,
        list(manifest.turns()),
        store,
        unaligned_as_frames=unaligned_as_frames,
        unreadable=None if fail_fast else {},
        progress=progress,
    )
    if done.failed and fail_fast and not unaligned_as_frames:
        raise UnalignableError(f"{done.failures}. The others are aligned and kept. {REMEDY}")
    return folder, done
