"""Grids: named changes to one recipe, each a run of its own, compared with the base in one table."""

import json
import re
from pathlib import Path

import pytest
import torch
from tests.commandline import call
from tests.tiny import recipe_values, write_corpus, write_recipe

from merkit.api.training import train_and_score_grid
from merkit.core import source
from merkit.core.errors import ConfigError
from merkit.encoders.precomputed import Precomputed
from merkit.experiments import grid as experiments_grid
from merkit.experiments.code import code_hashes
from merkit.experiments.grid import Variant, read_grid, train_grid, variant_of
from merkit.experiments.recipe import Recipe
from merkit.experiments.recipe_reader import check_recipe, read_recipe
from merkit.experiments.run import train_recipe
from merkit.experiments.shipped import shipped_folder
from merkit.reporting.results import gather

ROOT = Path(__file__).parents[3]
GRIDS = sorted(shipped_folder("grids").glob("*.toml"))
GRID = """
[[variants]]
name = "wide"
set.config = { hidden_size = 16, layers = 2 }

[[variants]]
name = "causal"
set.config.causal = true
set.training.epochs = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "r.toml", {**recipe_values("bc_lstm", epochs=2), "seeds": 2})


def grid(folder: Path, text: str = GRID) -> Path:
    path = folder / "g.toml"
    path.write_text(text)
    return path


def told(folder: Path, recipe: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        read_grid(grid(folder, text), recipe)
    return str(error.value)


def test_the_recipe_as_it_is_comes_first_and_each_variant_changes_what_it_says(tmp_path: Path, recipe: Path) -> None:
    base, wide, causal = read_grid(grid(tmp_path), recipe, ["training.batch_size=4"])

    assert (base.name, base.changes) == ("base", ())
    assert wide.changes == ("config.hidden_size = 16", "config.layers = 2")
    assert causal.changes == ("config.causal = true", "training.epochs = 1")
    expected = base.recipe.resolved()
    assert wide.recipe.resolved() == {**expected, "config": {**expected["config"], "hidden_size": 16, "layers": 2}}
    assert causal.recipe.resolved()["training"] == {**expected["training"], "epochs": 1}
    assert all(variant.recipe.training.batch_size == 4 for variant in (base, wide, causal))


def test_a_removed_table_is_gone_and_a_removed_key_has_its_default(tmp_path: Path) -> None:
    values = recipe_values("concat", epochs=2)
    values["encoders"]["text"] = {"name": "precomputed", "features": "words"}
    values["config"] = {"dropout": 0.7}
    recipe = write_recipe(tmp_path / "two.toml", values)
    text = (
        '[[variants]]\nname = "ears"\nremove = ["encoders.text"]\n'
        '[[variants]]\nname = "usual"\nremove = ["config.dropout"]\n'
        '[[variants]]\nname = "single"\nremove = ["encoders.text", "config"]\nset.model = "single"\n'
    )

    base, ears, usual, single = read_grid(grid(tmp_path, text), recipe)

    assert set(base.recipe.encoders) == {"text", "audio"}
    assert set(ears.recipe.encoders) == {"audio"}
    assert ears.changes == ("without encoders.text",)
    assert usual.recipe.resolved()["config"]["dropout"] != 0.7
    assert single.recipe.model.name == "single"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "variants: is missing"),
        ("variants = []", "variants"),
        ('[[variants]]\nname = "a b"\nset.seeds = 1', "name = 'a b'"),
        ('[[variants]]\nname = "base"\nset.seeds = 1', "'base' is the name of the unchanged recipe"),
        ('[[variants]]\nname = "a"\nste.seeds = 1', "No key named 'ste'. Did you mean 'set'"),
        ('[[variants]]\nname = "a"\n', "'a' changes nothing"),
        ('[[variants]]\nname = "a"\nset.training.epochs = 2', "'a' changes nothing"),
        (
            '[[variants]]\nname = "a"\nremove = ["config.hiden"]',
            "'a': remove = 'config.hiden': not in the recipe",
        ),
        (
            '[[variants]]\nname = "a"\nset.config.hiden_size = 2',
            "variant 'a': config: No key named 'hiden_size'. Did you mean 'hidden_size'",
        ),
        ('[[variants]]\nname = "a"\nset.seeds = 3', "seeds must be the same for all"),
        ('[[variants]]\nname = "a"\nset.protocol = "parley"', "protocol must be the same for all"),
        (
            '[[variants]]\nname = "a"\nremove = ["options"]\nset.config.hidden_size = 1',
            "options must be the same for all",
        ),
        (GRID + '[[variants]]\nname = "wide"\nset.config.hidden_size = 3', "'wide' appears more than once"),
        (GRID + '[[variants]]\nname = "w"\nset.config = { hidden_size = 16, layers = 2 }', "'w' is the same as 'wide'"),
        ("variants = [", "not TOML"),
    ],
)
def test_mistakes_are_told_before_anything_runs(text: str, match: str, tmp_path: Path, recipe: Path) -> None:
    assert match in told(tmp_path, recipe, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path, recipe: Path) -> None:
    text = (
        '[[variants]]\nname = "a"\nset.config.hiden_size = 2\n'
        '[[variants]]\nname = "b"\n[[variants]]\nname = "c"\nset.model = "concta"'
    )

    found = told(tmp_path, recipe, text)

    assert "3 mistakes" in found
    assert all(word in found for word in ("hiden", "'b' changes nothing", "Did you mean 'concat'"))


def test_a_missing_grid_is_told(tmp_path: Path, recipe: Path) -> None:
    with pytest.raises(ConfigError, match="No grid"):
        read_grid(tmp_path / "none.toml", recipe)


def test_the_sources_of_all_variants_are_read_before_the_first_is_trained(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = read_grid(
        grid(tmp_path, "[[variants]]\nname = 'other'\nset.model = 'concat'\nremove = ['config']"), recipe
    )
    read: list[int] = []

    def train(recipe: Recipe, *arguments: object) -> None:
        before = source.read.cache_info().misses
        code_hashes(recipe.plug_ins())
        read.append(source.read.cache_info().misses - before)

    monkeypatch.setattr(experiments_grid, "train_recipe", train)
    source.read.cache_clear()
    train_grid(variants, tmp_path, tmp_path / "runs")

    assert read == [0, 0]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    write_corpus(folder / "data", conversations=15)
    recipe = write_recipe(folder / "r.toml", {**recipe_values("bc_lstm", epochs=2), "seeds": 2})
    variants = read_grid(grid(folder), recipe)
    paths = train_and_score_grid(variants, folder / "data", folder / "runs")
    assert [path.name for path in paths] == ["base", "wide", "causal"]
    return folder


def test_each_variant_is_a_run_that_says_what_it_changes(done: Path) -> None:
    assert sorted(path.name for path in (done / "runs").iterdir()) == ["base", "causal", "wide"]
    found = {path.name: variant_of(path) for path in (done / "runs").iterdir()}

    assert found["base"] == Variant("base", (), 0)
    assert found["causal"] == Variant("causal", ("config.causal = true", "training.epochs = 1"), 2)
    assert variant_of(done) is None
    for name, epochs in (("base", 2), ("causal", 1)):
        assert f"epochs = {epochs}" in (done / "runs" / name / "recipe.toml").read_text()
        assert json.loads((done / "runs" / name / "scores.json").read_text())["seeds"] == [0, 1]


def test_a_report_over_the_folder_compares_with_the_base_in_the_grids_order(done: Path) -> None:
    group = gather(sorted((done / "runs").iterdir(), reverse=True))[0]

    assert [entry.name for entry in group.entries] == ["base", "wide", "causal"]
    assert group.compared_with.name == "base"
    assert [comparison.system for comparison in group.comparisons] == ["wide", "causal"]
    assert gather(list((done / "runs").iterdir()), reference="wide")[0].compared_with.name == "wide"


def test_floors_beside_a_grid_are_compared_with_its_base_too(done: Path, tmp_path: Path) -> None:
    floor = tmp_path / "floor"
    train_recipe(check_recipe({**recipe_values("majority"), "seeds": 2}, "m.toml"), done / "data", floor)

    group = gather([*sorted((done / "runs").iterdir()), floor])[0]

    assert [entry.name for entry in group.entries] == ["floor", "base", "wide", "causal"]
    assert group.compared_with.name == "base"


def test_two_grids_in_one_report_have_no_common_base(done: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.toml", {**recipe_values("bc_lstm", epochs=1), "seeds": 2})
    other = train_and_score_grid(read_grid(grid(tmp_path), recipe)[:1], done / "data", tmp_path / "other")

    group = gather([*sorted((done / "runs").iterdir()), *other])[0]

    assert {entry.name for entry in group.entries} == {"runs/base", "other/base", "wide", "causal"}
    assert group.compared_with.name in {entry.name for entry in group.entries}


def test_a_second_call_repeats_nothing_and_a_changed_variant_is_refused(done: Path) -> None:
    cells = {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("cell.json")}
    assert len(cells) == 6

    again = call(
        "-q", "train", done / "r.toml", "--grid", done / "g.toml", "--data", done / "data", "--out", done / "runs"
    )
    assert again.code == 0, again.error
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("cell.json")} == cells

    (done / "h.toml").write_text(GRID.replace("hidden_size = 16", "hidden_size = 8"))
    changed = call(
        "-q", "train", done / "r.toml", "--grid", done / "h.toml", "--data", done / "data", "--out", done / "runs"
    )
    assert changed.code == 2
    assert "holds a run of another recipe" in changed.error


def test_train_prints_one_table_with_tests_against_the_base_and_json_for_programs(done: Path) -> None:
    arguments = ("-q", "train", done / "r.toml", "--grid", done / "g.toml", "--data", done / "data")

    words = " ".join(call(*arguments, "--out", done / "runs").out.split())
    rows = json.loads(call(*arguments, "--out", done / "runs", "--json").out)

    group = gather(sorted((done / "runs").iterdir()))[0]
    assert [row["variant"] for row in rows] == ["base", "wide", "causal"]
    assert rows[0]["against_base"] is None
    for row, entry, comparison in zip(rows[1:], group.entries[1:], group.comparisons, strict=True):
        assert row["test"] == entry.scores["test"]
        assert row["changes"] == list(variant_of(entry.run.path).changes)
        assert row["against_base"]["difference"] == pytest.approx(comparison.difference)
        assert row["against_base"]["p_holm"] == pytest.approx(comparison.adjusted)
        assert row["against_base"]["verdict"] == comparison.verdict
        assert f"{100 * entry.scores['test']['mean_recall']['mean']:.2f}" in words
    assert "Holm" in words
    assert "causal: config.causal = true, training.epochs = 1" in words


def test_the_report_says_what_a_variant_changes(done: Path, tmp_path: Path) -> None:
    runs = sorted((done / "runs").iterdir())

    assert call("-q", "report", *runs, "--out", tmp_path).code == 0

    markdown = (tmp_path / "report.md").read_text()
    row = next(
        line
        for line in markdown.splitlines()
        if line.startswith("| causal (config.causal = true, training.epochs = 1) |")
    )
    assert row.endswith("| audio: published features (sound) † |")
    assert "config.causal = true" in (tmp_path / "report.html").read_text()


FOR_ANY_MODEL = ("modalities", "modality-dropout")
FOR_NO_GRID = (
    *("aux_fusion/parley-xor", "mmer/parley-xor", "multilevel/parley-xor", "multilevel/parley-word-prosody"),
    *(f"mmer/{corpus}-whisper" for corpus in ("emodb7", "emovo7", "nemo6", "ravdess7")),
    "multilevel/ravdess7-whisper",
)
"""Recipes that leave parts out which grids would leave out."""


def name_of(recipe: Path) -> str:
    return f"{recipe.parent.name}/{recipe.stem}"


def pairs() -> list[tuple[Path, Path]]:
    """Return each shipped grid with each recipe that it is for and that has the modalities it needs."""
    found = []
    for grid_path in GRIDS:
        folder = "*" if grid_path.stem in FOR_ANY_MODEL else grid_path.stem.split("-")[0]
        needed = set(re.findall(r"encoders\.(\w+)", grid_path.read_text()))
        needed |= set(re.findall(r'centre = "(\w+)"', grid_path.read_text()))
        keys = set(re.findall(r"set\.config\.(\w+)", grid_path.read_text())) if folder == "*" else set()
        aligned = "granularities" in grid_path.read_text()
        for recipe_path in sorted(shipped_folder("recipes").glob(f"{folder}/*.toml")):
            if name_of(recipe_path) in FOR_NO_GRID:
                continue
            recipe = read_recipe(recipe_path)
            if aligned and recipe.config.segments() is None:
                continue
            if needed <= recipe.encoders.keys() and keys <= type(recipe.config).model_fields.keys():
                found.append((grid_path, recipe_path))
    return found


PAIRS = pairs()


@pytest.mark.parametrize(
    ("path", "recipe"), PAIRS, ids=[f"{grid.stem}-{recipe.parent.name}-{recipe.stem}" for grid, recipe in PAIRS]
)
def test_shipped_grids_fit_every_recipe_that_has_their_modalities(path: Path, recipe: Path) -> None:
    variants = read_grid(path, recipe)

    assert len(variants) > 1
    for variant in variants:
        chosen = variant.recipe
        encoders = {name: Precomputed("x", name, [], 24, standardise=False) for name in chosen.encoders}
        for encoder in encoders.values():
            encoder.hop_s = 0.02  # precomputed vectors have no time of their own
        with torch.device("meta"):
            assert chosen.model.build(encoders, 7, chosen.config).state_dict()


def test_every_shipped_grid_fits_a_recipe() -> None:
    assert len(GRIDS) >= 6
    assert {path for path, _ in PAIRS} == set(GRIDS)


def test_grids_without_modalities_of_their_own_fit_all_recipes_of_their_model() -> None:
    for name in ("ada2i", "aux_fusion", "cmath", "dialogue_rnn", "mmer", "sdt"):
        recipes = {
            path for path in (shipped_folder("recipes") / name).glob("*.toml") if name_of(path) not in FOR_NO_GRID
        }
        assert {recipe for path, recipe in PAIRS if path.stem == name} == recipes


def test_the_released_variant_of_ada2i_is_the_released_profile() -> None:
    released = read_grid(
        shipped_folder("grids") / "ada2i.toml", shipped_folder("recipes") / "ada2i" / "meld7-paper.toml"
    )[-1].recipe

    profile = read_recipe(shipped_folder("recipes") / "ada2i" / "meld7-paper.toml", ['config.profile="released"'])
    assert released.resolved() == profile.resolved()


def test_the_grid_in_the_documentation_fits_its_recipe(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "how-to" / "comparing.md").read_text(), re.DOTALL)
    assert block is not None

    variants = read_grid(grid(tmp_path, block[1]), shipped_folder("recipes") / "dialogue_rnn" / "parley.toml")

    assert [variant.name for variant in variants] == ["base", "without-attention", "without-audio", "small"]
