"""Experiments: recipes, runs, scores and reports."""
