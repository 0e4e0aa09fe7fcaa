"""Alignments: phones, syllables and words with their times."""
