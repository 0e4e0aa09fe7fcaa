"""The sound of corrected utterances: as it was analyzed, of the same track and channel of the recording.

A corpus names files, so where the analysis read another track than the first, or one channel, that sound is written
into a file. Of a recording of which voices were left out it has nothing but the utterances.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from merkit.core.errors import MerkitError
from merkit.core.waveform import Channel, Track
from merkit.data.files import atomic_path
from merkit.data.media.audio import channel_blocks, count_channels, rate_of, recording_hash
from merkit.recordings.corrections import Corrected
from merkit.recordings.speech import Region
from merkit.timeline.analysis import Analysis, Segment


def whole_sound(file: Path, analysis: Analysis | None) -> Path | Track:
    """Return what was read of a recording; ``None``: its analysis is not known."""
    return file if analysis is None or analysis.track is None else Track(file, analysis.track)


def sounds_of(rows: Sequence[Corrected], file: Path, analysis: Analysis | None, out: Path) -> list[Path]:
    """Return the file that each utterance is read from: the recording, or one that is written.

    Args:
        rows: The corrected utterances.
        file: Their recording.
        analysis: The analysis that was corrected; ``None``: it is not known, and all channels of the first track count.
        out: Path of a written file, without what tells it from others of the recording and without an ending.

    Raises:
        MerkitError: There is no such channel, the recording cannot be read, or a file cannot be written.
    """
    sound = whole_sound(file, analysis)
    channels = [None if analysis is None else _channel(row, analysis.segments) for row in rows]
    sounds = {each: sound if each is None else Channel(sound, each - 1) for each in channels}
    hides = analysis is not None and analysis.excludes_speakers
    spans = [(row.start_s, row.end_s) for row in rows] if hides else [(0.0, math.inf)]
    files = {each: one if isinstance(one, Path) else _written(one, spans, out) for each, one in sounds.items()}
    return [files[each] for each in channels]


def _channel(row: Corrected, segments: Sequence[Segment]) -> int | None:
    """Return the channel of the analyzed utterance that is most like a corrected one: in its speaker, then in time."""

    def likeness(segment: Segment) -> tuple[bool, float]:
        shared_s = min(row.end_s, segment.end_s) - max(row.start_s, segment.start_s)
        both_s = max(row.end_s, segment.end_s) - min(row.start_s, segment.start_s)
        return row.speaker == segment.speaker, shared_s / both_s

    return max(segments, key=likeness).channel if segments else None


def _written(sound: Track | Channel, spans: Sequence[Region], out: Path) -> Path:
    """Write one channel, or the mean of a track's, with silence outside of ``spans``; its name says what it is of."""
    made_of = hashlib.blake2b(f"{recording_hash(sound)} {spans}".encode(), digest_size=8).hexdigest()
    path = out.with_name(f"{out.name}-{made_of}.flac")
    whole, number = (sound.recording, sound.number) if isinstance(sound, Channel) else (sound, None)
    if number is not None and number >= count_channels(whole):
        raise MerkitError(f"'{whole}' has channels 1 to {count_channels(whole)}, not {number + 1}")
    rate_hz, seen = rate_of(whole), 0
    with atomic_path(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", rate_hz, 1, "PCM_24", format="FLAC") as file:
                for block in channel_blocks(whole):
                    one = block.mean(axis=1) if number is None else block[:, number]
                    kept = np.zeros_like(one)
                    for start_s, end_s in spans:
                        first = max(round(start_s * rate_hz) - seen, 0)
                        last = max(round(min(end_s * rate_hz, seen + len(one))) - seen, 0)
                        kept[first:last] = one[first:last]
                    file.write(kept)
                    seen += len(one)
        except soundfile.LibsndfileError as error:  # such as a rate that FLAC does not have
            raise MerkitError(f"'{path}' cannot be written: {error}") from error
    return path
