"""Why a named file is missing although a file of nearly this name is present: separators, letter case, Unicode form.

A corpus that was made on Windows or macOS names its files as these systems find them: with backslashes, in any letter
case, with accents composed or decomposed. Linux compares names byte by byte.
"""

import unicodedata
from pathlib import Path


def spelling_hint(path: Path) -> str:
    """Return a sentence, after a blank, on a file that has nearly this name, or on backslashes; ``""`` if neither."""
    backslashes = "\\" in str(path)
    differences = ["separators"] if backslashes else []
    found = Path(path.anchor)
    for part in Path(str(path).replace("\\", "/")).relative_to(path.anchor).parts:
        present = _entry(found, part)
        if present is None:
            return " Its path has backslashes, which separate no folders here: write /." if backslashes else ""
        if _composed(present) != _composed(part):
            differences.append("letter case")
        elif present != part:
            differences.append("Unicode form")
        found /= present
    if not differences:
        return f" '{found}' is a link to a file that is not there." if found.is_symlink() else ""
    named = " and ".join(dict.fromkeys(differences))
    return f" There is '{found}', which differs in {named}: write the name as it is on the disk."


def _entry(folder: Path, name: str) -> str | None:
    """Return the entry of a folder that has this name, or that has it apart from letter case and Unicode form."""
    if name == ".." or (folder / name).exists() or (folder / name).is_symlink():
        return name
    try:
        entries = [entry.name for entry in folder.iterdir()]
    except OSError:
        return None
    return next((entry for entry in entries if _composed(entry).casefold() == _composed(name).casefold()), None)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
