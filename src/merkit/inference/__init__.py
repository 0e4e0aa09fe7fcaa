"""Inference: the only road from a checkpoint to a prediction."""
