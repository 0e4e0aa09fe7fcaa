"""Turns of speech while they are spoken: from a stream of sound to an answer shortly after each turn."""
