"""What the documentation tells a reader to type works: `console` blocks are run, in order, in an empty folder."""

import re
import shlex
from pathlib import Path

import pytest
from tests.commandline import call

ROOT = Path(__file__).parents[2]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)\)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [
    "how-to/augmented-views.md",
    "how-to/distillation.md",
    "how-to/training.md",
    "how-to/two-stage.md",
    "learn/data.md",
    "start/getting-started.md",
    "systems/aux_fusion.md",
]


def commands(page: Path) -> list[str]:
    return [line for block in CONSOLE.findall(page.read_text()) for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_work_in_an_empty_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    lines = commands(ROOT / "docs" / name)
    assert lines

    for line in lines:
        words = shlex.split(line)
        assert words[0] == "merkit", line
        done = call("-q", *words[1:])

        assert done.code == 0, f"{line}\n{done.out}\n{done.error}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text())):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
