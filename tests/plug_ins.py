"""Plug-ins outside merkit, as files or as an installed package: those of the pages for contributors, renamed."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "contribute"
BLOCK = re.compile(r"^`[\w/]*?(\w+)\.py`:\n\n(?:<!--.*?-->\n)?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
PAGE_OF = {
    "models": "adding-a-paper.md",
    "encoders": "adding-an-encoder.md",
    "corpora": "adding-a-corpus.md",
    "protocols": "adding-a-protocol.md",
}


def source(kind: str, name: str) -> str:
    """Return the file that the page for a kind shows, under another name."""
    ((stem, text),) = BLOCK.findall((PAGES / PAGE_OF[kind]).read_text())
    return text.replace(f'"{_named(kind, stem)}"', f'"{_named(kind, name)}"')


def write_file(folder: Path, kind: str, name: str) -> Path:
    """Write a plug-in as a file of a user and return its path."""
    path = folder / f"{name}.py"
    path.write_text(source(kind, name))
    return path


def write_package(folder: Path, package: str, entries: dict[str, str]) -> Path:
    """Lay an installed package into a folder as pip would; ``entries`` hold by kind the name of a plug-in."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    groups = []
    for kind, name in entries.items():
        module = name.replace("-", "_")
        write_file(folder / package, kind, module)
        groups.append(f"[merkit.{kind}]\n{name} = {package}.{module}\n")
    information = folder / f"{package}-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text("\n".join(groups))
    return folder


def _named(kind: str, stem: str) -> str:
    return stem.replace("_", "-") if kind == "protocols" else stem
