"""Metrics: pure functions on NumPy arrays, each docstring the specification of its value."""
