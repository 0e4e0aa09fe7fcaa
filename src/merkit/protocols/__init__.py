"""Protocols: one published protocol each: label map, folds, selection, metrics, expected counts."""
