"""Who speaks when by a diarization of the user's: a pipeline of pyannote.audio, or anything of its interface."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from merkit.core.errors import MerkitError
from merkit.data.media.audio import Recording, read_audio
from merkit.recordings.transcripts import Line, fit_lines
from merkit.recordings.transcripts.lines import Draft

RATE_HZ = 16_000
"""Of the samples that a pipeline gets; pyannote's networks read this rate."""


class Diarization(Protocol):
    """A pipeline that says who speaks when."""

    def __call__(self, file: Mapping[str, Any], **options: Any) -> Any:
        """Return an object with ``itertracks(yield_label=True)``, as pyannote.core's ``Annotation``.

        It yields a segment with ``start`` and ``end`` in seconds, a name of the track, and the speaker. The
        ``speaker_diarization`` of an output of pyannote.audio 4 is taken in the output's place.

        Args:
            file: ``waveform`` ``[1, samples]``, ``sample_rate`` in Hz and ``uri``, as pyannote.audio reads it.
            options: ``num_speakers``, where their number is known.
        """


def name_of(diarization: Diarization) -> str:
    """Return what results call it."""
    name: str = getattr(diarization, "__name__", type(diarization).__name__)
    return f"the diarization that was given ({name})"


def run_diarization(
    diarization: Diarization, sound: Recording, name: str, length_s: float, count: int | None
) -> tuple[list[Line], tuple[str, ...]]:
    """Return the turns of a sound in order of time, and notes on what was cut or left out; the sound is in memory.

    Args:
        diarization: The user's; what it raises is not caught.
        sound: The recording, or a channel of it.
        name: What the recording is called.
        length_s: Its length.
        count: How many speakers there are; ``None``: the pipeline finds it.

    Raises:
        MerkitError: The sound cannot be read, the answer is none, or its turns do not fit the recording.
    """
    samples = torch.from_numpy(read_audio(sound, RATE_HZ)).unsqueeze(0)
    options = {} if count is None else {"num_speakers": count}
    answer = diarization({"waveform": samples, "sample_rate": RATE_HZ, "uri": name}, **options)
    annotation = getattr(answer, "speaker_diarization", answer)
    if not hasattr(annotation, "itertracks"):
        raise MerkitError(
            f"diarization answered with a {type(answer).__name__}, expected pyannote.core's Annotation, or an object "
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
    return list(fitted.lines), tuple(note for note in fitted.notes if "there are no words" not in note)
