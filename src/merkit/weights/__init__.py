"""Weights that merkit knows by name: where they come from, what identifies them, and how they are read."""
