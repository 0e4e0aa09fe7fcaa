"""Evaluation: stored predictions, scores, comparisons, subsets of modalities, probes."""
