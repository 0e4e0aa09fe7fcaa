"""Recordings: from an audio or video file to labelled utterances."""
