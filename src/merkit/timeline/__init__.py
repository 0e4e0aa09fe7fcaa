"""What an analysis is written as: JSON, tables, subtitles, annotations and a page, and how corrections come back."""
