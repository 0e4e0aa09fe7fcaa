"""Reports: result tables, charts, pages, reference figures of papers."""
