"""The documentation holds: its code runs, its links lead somewhere, and the site is built without a warning.

Every code block of a page is ``console`` or ``python``, run in order in an empty folder; ``toml``, checked as a recipe;
output or data (``text``, ``csv``); or has a comment in front of it: ``<!-- not run: why -->``, or
``<!-- run by: tests/... -->`` with the file of a test of its own.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.commandline import call

from merkit.cli.main import app
from merkit.core.lookup import KINDS, load, names
from merkit.experiments.recipe_files import read_toml
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.transforms.registry import TRANSFORMS
from merkit.training.config import LossConfig, TrainingConfig

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(
    r"(?:^ *<!-- (?P<how>not run|run by): (?P<note>.+?) -->\n+)?^ *```(?P<language>[^\n]*)\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)\)")
TINY = "merkit prepare parley --out {} --set conversations=12 --set turns=4"
SMALLER = {
    "merkit prepare parley --out data\n": TINY.format("data") + "\n",
    "--out runs/concat\n": "--out runs/concat --seeds 1 --set training.epochs=3\n",
    "c0047": "c0009",
}
"""What the README shows, and what runs in its place: a smaller corpus, one of its calls, a short training."""
GUIDES = ("start", "learn", "systems", "how-to")
RUN, CHECKED, DATA = ("console", "python"), ("toml",), ("text", "csv")


@dataclass(frozen=True)
class Block:
    """A code block and the comment in front of it."""

    language: str
    code: str
    how: str | None
    note: str | None


def blocks(page: Path) -> list[Block]:
    return [Block(m["language"], m["code"], m["how"], m["note"]) for m in BLOCK.finditer(page.read_text())]


def unmarked(page: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(page) if block.how is None and block.language in languages]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


RUNNABLE = [page for page in PAGES if unmarked(page, *RUN)]
WITH_TOML = [page for page in PAGES if unmarked(page, *CHECKED)]


@pytest.fixture(scope="module")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small parley of many pages, made once."""
    folder = tmp_path_factory.mktemp("documentation") / "data"
    assert call("-q", *shlex.split(TINY.format(folder))[1:]).code == 0
    return folder


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_code_block_is_run_or_says_why_not(page: Path) -> None:
    fences = len(re.findall(r"^ *```", page.read_text(), re.MULTILINE))
    found = blocks(page)

    assert fences == 2 * len(found)
    for block in found:
        if block.how == "run by":
            assert block.note is not None
            assert page.name in (ROOT / block.note).read_text(), f"{block.note} does not name {page.name}"
        elif block.how is None:
            assert block.language in (*RUN, *CHECKED, *DATA), f"```{block.language}\n{block.code}"


@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_the_code_of_a_page_works_in_an_empty_folder(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_corpus: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}

    for block in unmarked(page, *RUN):
        code = block.code.replace("\\\n", "")
        for shown, smaller in SMALLER.items():
            code = code.replace(shown, smaller)
        if block.language == "python":
            exec(compile(code, name(page), "exec"), namespace)
            continue
        for line in code.splitlines():
            run(line, tiny_corpus)


def run(line: str, tiny_corpus: Path) -> None:
    words = shlex.split(line)
    if line == TINY.format(words[words.index("--out") + 1] if "--out" in words else ""):
        Path(words[words.index("--out") + 1]).symlink_to(tiny_corpus)  # so that pages share extracted features
        return
    assert words[0] == "merkit", line
    done = call("-q", *words[1:])
    assert done.code == 0, f"{line}\n{done.out}\n{done.error}"


@pytest.mark.parametrize("page", WITH_TOML, ids=name)
def test_the_recipes_of_a_page_are_valid(page: Path) -> None:
    for block in unmarked(page, "toml"):
        values = tomllib.loads(block.code)
        if "model" not in values:
            values = {**read_toml(ROOT / "recipes" / "mmer" / "parley.toml"), **values}
            if "[views]" not in block.code:
                values |= {"model": "concat", "protocol": "table", "config": {}}
                del values["views"]

        check_recipe(values, str(ROOT / "recipes" / "single" / "page.toml"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text())):
        assert (page.parent / target).exists(), f"{name(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_not_run_have_options_that_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands
    for block in blocks(page):
        lines = block.code.replace("\\\n", "").splitlines() if block.how == "not run" and block.language == "sh" else []
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[:1] == ["merkit"]:
                commands[words[1]].make_context(words[1], words[2:])
            if words[:2] == ["merkit", "train"]:
                assert words[2] == "my-recipe.toml" or (ROOT / "recipes" / f"{words[2]}.toml").exists(), line
                grid = words[words.index("--grid") + 1] if "--grid" in words else "modalities"
                assert (ROOT / "grids" / f"{grid}.toml").exists(), line


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name in GUIDES], ids=name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    specs = [load(package, plug_in) for package in KINDS for plug_in in names(package)]
    configs = [getattr(spec, "config", None) or spec.options for spec in specs]
    known = {key for config in (TrainingConfig, LossConfig, *configs) for key in config.model_fields}
    known |= {"name"} | {key for spec in TRANSFORMS if spec.table is not None for key in spec.table.model_fields}

    named = re.findall(r"`([a-z_.]+)(?: = |=)[^`]+`", page.read_text())

    assert {key for key in named if key.rsplit(".", 1)[-1] not in known} == set()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link, a missing page or a page outside the navigation is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_of_the_site_requests_anything_from_another_server(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    requests = re.compile(
        r"""(?:<(?:script|img|iframe|source)[^>]*\ssrc=|<link[^>]*\shref=|url\(|@import\s)["']?(?:https?:)?//[^\s"')>]+"""
    )
    assert len(pages) > 30

    found = {name: requests.findall(page.read_text()) for page in pages for name in [page.relative_to(site)]}

    assert {name: urls for name, urls in found.items() if urls} == {}


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("split", "learn/protocols/"),
        ("baseline", "reference/glossary/"),
        ("standard deviation", "reference/glossary/"),
        ("distillation", "how-to/distillation/"),
        ("resume", "start/getting-started/"),
    ],
)
def test_a_search_finds_the_page_of_a_term(query: str, page: str, site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    found = [entry["location"] for entry in index if query in entry["title"].lower()]

    assert any(location.startswith(page) for location in found), found


def test_the_reference_has_every_key_command_and_plug_in(site: Path) -> None:
    page = (site / "reference" / "recipe" / "index.html").read_text()
    plug_ins = (site / "reference" / "plug-ins" / "index.html").read_text()
    commands = (site / "reference" / "command-line" / "index.html").read_text()

    assert all(f"<code>{key}</code>" in page for config in (TrainingConfig, LossConfig) for key in config.model_fields)
    assert all(f'id="{plug_in}"' in plug_ins for package in KINDS for plug_in in names(package))
    assert all(f"merkit {command}" in commands for command in typer.main.get_command(app).commands)
    assert "Shape after warm-up" in page  # the docstring below a field
    for system in ("aux_fusion", "multilevel", "mmer", "cmath", "ada2i"):
        html = (site / "systems" / system / "index.html").read_text()
        spec = load("models", system)
        assert all(f"<code>{key}</code>" in html for key in spec.config.model_fields)
        assert html.count("<li>") >= len(spec.deviations)
        assert "million parameters" in html


def test_the_cost_of_a_system_is_its_number_of_parameters(site: Path) -> None:
    attention, norms = 4 * (768 * 768 + 768), 2 * 2 * 768
    position_wise = 768 * 3072 + 3072 + 3072 * 768 + 768
    heads, vectors = (1536 * 4 + 4) + 2 * (768 * 4 + 4), 2 * 768  # main, own_label; for what is missing
    by_hand = 2 * 2 * (attention + norms + position_wise) + heads + vectors

    page = (site / "systems" / "aux_fusion" / "index.html").read_text()

    assert f"{by_hand / 1e6:.2f} million parameters" in page
    assert "generated: " not in "".join(
        page.read_text() for page in site.rglob("*.html") if page.parent.name != "contribute"
    )
