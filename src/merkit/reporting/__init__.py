"""Reports: sections, tables, charts, pages, scores printed in papers."""
