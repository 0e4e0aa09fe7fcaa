"""Words from sound in Python."""

from pathlib import Path
from typing import Any

from merkit.api.inputs import as_recording
from merkit.core.arguments import checked_arguments
from merkit.recordings.recognition.models import BUILTIN, open_engine
from merkit.recordings.recognition.recognise import Recognition, recognise


@checked_arguments
def transcribe(
    recording: Any,
    model: str | Path = BUILTIN,
    *,
    language: str | None = None,
    channels: str = "auto",
    rate_hz: int | None = None,
) -> Recognition:
    """Recognise the words of a recording; nothing is written.

    Only speech is recognised. What is improbable or said again and again is left out, and the result's notes count it.

    Args:
        recording: As `EmotionRecognizer` takes it: a path, bytes, a file object, a `Waveform`, or samples.
        model: ``builtin:whisper-base`` (extras ``asr`` and ``speech``); the folder of a Whisper, as faster-whisper
            (``model.bin``) or Hugging Face (``model.safetensors``) has it; or ``org/name@REVISION`` of the hub, with
            the 40 hexadecimal digits of a commit.
        language: A code such as ``en``; ``None``: found from the first 30 seconds of speech.
        channels: ``auto`` (two that differ are two speakers), ``split``, ``mix``, ``left`` or ``right``.
        rate_hz: The rate of samples; only for samples.

    Raises:
        MerkitError: The recording, its channels, the language or the model cannot be used.
    """
    sound, name = as_recording(recording, rate_hz)
    return recognise(open_engine(model), sound, channels=channels, language=language, name=name)
