"""Evaluation: stored predictions, scores, comparison, ablation of modalities, probes."""
