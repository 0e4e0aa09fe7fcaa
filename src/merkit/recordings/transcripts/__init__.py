"""Transcripts as tools write them: one strict reader, which recognises the format from the content."""

from merkit.recordings.transcripts.fitting import fit_lines
from merkit.recordings.transcripts.lines import Line, Transcript, spoken_text
from merkit.recordings.transcripts.reader import SUFFIXES, read_transcript

__all__ = ["SUFFIXES", "Line", "Transcript", "fit_lines", "read_transcript", "spoken_text"]
