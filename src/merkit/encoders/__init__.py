"""Encoders: one file each, from an utterance to vectors."""
