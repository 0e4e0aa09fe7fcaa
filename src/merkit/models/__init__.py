"""Models: one paper or baseline each."""
