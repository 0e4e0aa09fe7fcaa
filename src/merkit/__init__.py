"""Multimodal emotion recognition: speech, words and faces, in single utterances and in conversations."""

__version__ = "0.1.0"
