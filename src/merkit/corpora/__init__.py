"""Corpora: one adapter each, from a raw release to a manifest."""
