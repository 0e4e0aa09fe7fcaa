"""Multimodal emotion recognition: speech, words and faces, in single utterances and in conversations.

Names are imported when they are first used, so that importing merkit takes no time; ``__init__.pyi`` tells them to
type checkers.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "merkit.api.predictions": ("Predictions",),
    "merkit.api.recognition": ("EmotionRecognizer", "load"),
    "merkit.api.runs": ("Run", "train"),
    "merkit.api.corpora": ("doctor", "prepare", "report"),
    "merkit.api.transcription": ("transcribe",),
    "merkit.timeline.analysis": ("Analysis", "LiveSegment"),
    "merkit.recordings.recognition.recognise": ("Recognition",),
    "merkit.core.types": ("Conversation", "Prediction", "Turn", "Utterance"),
    "merkit.core.waveform": ("Waveform",),
    "merkit.core.batch": ("Batch", "ModelOutput", "Padded"),
    "merkit.core.model": (
        "CausalConfig",
        "Citation",
        "FittedModel",
        "Model",
        "ModelConfig",
        "ModelSpec",
        "ReleasedCode",
    ),
    "merkit.core.encoder": ("Array", "Encoder", "EncoderConfig", "EncoderHome", "EncoderSpec"),
    "merkit.core.corpus": ("CorpusOptions", "CorpusSpec", "Finding", "PublishedFeatures", "RawCorpus"),
    "merkit.core.alignment": ("Aligner", "AlignerConfig", "AlignerSpec", "Alignment", "Interval"),
    "merkit.core.protocol": ("Fold", "Protocol", "ProtocolOptions", "ProtocolSpec"),
    "merkit.core.errors": (
        "CheckpointError",
        "ConfigError",
        "CountError",
        "ManifestError",
        "MediaError",
        "MerkitError",
        "PluginError",
        "UnalignableError",
        "UnknownNameError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'merkit' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
