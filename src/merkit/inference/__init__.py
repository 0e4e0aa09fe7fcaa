"""Inference: from a checkpoint to predictions."""
