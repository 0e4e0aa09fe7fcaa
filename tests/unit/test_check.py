"""Which tests `make check` runs."""

from pathlib import Path

import pytest
from tests.check import MOST, chosen_tests


@pytest.mark.parametrize(
    ("changed", "test", "plug_ins"),
    [
        ("src/merkit/models/concat.py", None, {("models", "concat")}),
        ("src/merkit/protocols/crema_d6.py", None, {("protocols", "crema-d6")}),
        ("src/merkit/core/lookup.py", "tests/unit/core/test_lookup.py", set()),
        ("src/merkit/models/_single.py", None, set()),
        ("tests/unit/core/test_model.py", "tests/unit/core/test_model.py", set()),
        ("recipes/concat/parley.toml", "tests/unit/experiments/test_recipe.py", set()),
        ("README.md", None, set()),
    ],
)
def test_a_changed_file_asks_for_its_tests(changed: str, test: str | None, plug_ins: set[tuple[str, str]]) -> None:
    files, found = chosen_tests([Path(changed)])

    assert found == plug_ins
    assert test is None or Path(test) in files[:2]


def test_tests_that_import_a_module_are_among_them_and_the_nearest_come_first() -> None:
    files, _ = chosen_tests([Path("src/merkit/core/types.py"), Path("src/merkit/core/lookup.py")])

    assert files[:2] == [Path("tests/unit/core/test_types.py"), Path("tests/unit/core/test_lookup.py")]
    assert len(files) > MOST
