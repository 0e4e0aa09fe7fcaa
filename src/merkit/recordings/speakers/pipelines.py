"""Run a diarization pipeline of the user: one of pyannote.audio, or any callable of its interface."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from merkit.core.errors import MerkitError
from merkit.data.media.audio import Recording, read_audio
from merkit.recordings.speakers.turns import notes_on_turns
from merkit.recordings.transcripts import Line, fit_lines
from merkit.recordings.transcripts.lines import Draft

RATE_HZ = 16_000
"""Of the samples that a pipeline gets; pyannote's networks read this rate."""


class Diarization(Protocol):
    """A pipeline that returns who speaks when."""

    def __call__(self, file: Mapping[str, Any], **options: Any) -> Any:
        """Return an object with ``itertracks(yield_label=True)``, such as pyannote.core's ``Annotation``.

        That yields a segment with ``start`` and ``end`` in seconds, the name of a track, and the speaker. Of the output
        of pyannote.audio 4, ``speaker_diarization`` is used.

        Args:
            file: ``waveform`` ``[1, samples]``, ``sample_rate`` in Hz and ``uri``, as pyannote.audio reads it.
            options: ``num_speakers``, where their number is known.
        """


def name_of(diarization: Diarization) -> str:
    """Return its name in results."""
    name: str = getattr(diarization, "__name__", type(diarization).__name__)
    return f"the diarization that was given ({name})"


def run_diarization(
    diarization: Diarization, sound: Recording, name: str, length_s: float, count: int | None
) -> tuple[list[Line], tuple[str, ...]]:
    """Return the turns of a sound in order of time, and notes on what was cut or left out; the sound is in memory.

    Args:
        diarization: The pipeline; what it raises is not caught.
        sound: The recording, or a channel of it.
        name: The recording's name.
        length_s: Its length.
        count: How many speakers there are; ``None``: the pipeline finds it.

    Raises:
        MerkitError: The sound cannot be read, the output is of another type, or its turns do not fit the recording.
    """
    samples = torch.from_numpy(read_audio(sound, RATE_HZ)).unsqueeze(0)
    options = {} if count is None else {"num_speakers": count}
    output = diarization({"waveform": samples, "sample_rate": RATE_HZ, "uri": name}, **options)
    annotation = getattr(output, "speaker_diarization", output)
    if not hasattr(annotation, "itertracks"):
        raise MerkitError(
            f"diarization returned a {type(output).__name__}, expected pyannote.core's Annotation, or an object "
            "that has one as speaker_diarization"
        )
    source = name_of(diarization)
    draft = Draft(source[:1].upper() + source[1:])
    for number, (segment, _, speaker) in enumerate(annotation.itertracks(yield_label=True), start=1):
        place = f"turn {number}"
        draft.add(max(float(segment.start), 0.0), float(segment.end), draft.speaker(speaker, place), None, place)
    if draft.is_empty:
        return [], ()
    fitted = fit_lines(draft.finish(), length_s)
    return list(fitted.lines), notes_on_turns(fitted)
