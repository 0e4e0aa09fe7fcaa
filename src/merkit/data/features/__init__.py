"""Extracted and published features: extraction, storage, lookup."""
