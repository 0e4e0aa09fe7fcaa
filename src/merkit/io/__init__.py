"""Files: checkpoints, predictions and provenance."""
