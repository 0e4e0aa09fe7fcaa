"""View engines, one file each: other wordings and other recordings of the same utterance."""
