"""What the aligners share: words as they are spoken, tiers and their checks, syllables, formats of files."""
