"""Where plug-ins are found, and how wrong ones are refused."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from tests.plug_ins import PAGE_OF, source, write_file, write_package

from merkit.core import lookup
from merkit.core.errors import PluginError, UnknownNameError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package with one plug-in of each kind and return the package's name."""
    package = f"pack_{tmp_path.name.replace('-', '_')}"  # modules of one process need names of their own
    entries = {kind: f"pack{'-' if kind == 'protocols' else '_'}{kind}" for kind in PAGE_OF}
    monkeypatch.syspath_prepend(write_package(tmp_path / "site", package, entries))
    return package


def test_a_built_in_says_that_merkit_brings_it_along() -> None:
    origin = lookup.load("models", "concat").origin

    assert (origin.built_in, origin.reference, str(origin)) == (True, "concat", "merkit")
    assert lookup.load("models", "concat").origin.file == Path(lookup.__file__).parents[1] / "models" / "concat.py"


def test_a_folder_beside_the_plug_ins_is_none() -> None:
    assert "networks" not in lookup.names("encoders")


@pytest.mark.parametrize("kind", list(PAGE_OF))
def test_a_file_is_loaded_by_its_path(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path, kind, "my_own")
    monkeypatch.chdir(tmp_path)

    spec = lookup.load(kind, "./my_own.py")

    assert spec.name == ("my-own" if kind == "protocols" else "my_own") == lookup.name_of(kind, str(path))
    assert spec.origin.reference == str(spec.origin) == str(path)
    assert spec.origin.file == path
    assert spec.name not in lookup.names(kind)
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_that_was_edited_is_imported_anew_and_one_that_was_not_is_not(tmp_path: Path) -> None:
    path = write_file(tmp_path, "models", "mine")
    first, again = lookup.load("models", str(path)), lookup.load("models", str(path))

    path.write_text(path.read_text().replace("default=256", "default=8"))
    edited = lookup.load("models", str(path))

    assert first.config is again.config
    assert (first.config().hidden_size, edited.config().hidden_size) == (256, 8)
    assert first.origin.code == again.origin.code != edited.origin.code


def test_an_installed_package_brings_plug_ins_of_every_kind(installed: str) -> None:
    for kind in PAGE_OF:
        name = next(name for name in lookup.names(kind) if name.startswith("pack"))
        origin = lookup.load(kind, name).origin

        assert (origin.distribution, origin.version, origin.built_in) == (installed, "1.5", False)
        assert origin.reference == name
        assert str(origin) == f"{installed} 1.5"


def test_files_that_the_environment_names_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_file(tmp_path, "models", "named_model"), write_file(tmp_path, "encoders", "named_encoder")]
    monkeypatch.setenv(lookup.PLUGINS, ":".join(map(str, files)))

    assert "named_model" in lookup.names("models")
    assert "named_model" not in lookup.names("encoders")
    assert lookup.load("encoders", "named_encoder").origin.file == files[1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no SPEC found, expected one of model"),
        ("SPEC = 'gmu'", "no SPEC found"),
        (source("encoders", "gmu"), "SPEC is of kind encoder, expected model"),
        (source("models", "other"), "SPEC.name is 'other', expected 'gmu'"),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError: No module named"),
        ("def (", "cannot be imported: SyntaxError"),
        ("from merkit.core.model import ModelSpec\nSPEC = ModelSpec(name='gmu')", "cannot be imported: TypeError"),
    ],
    ids=["no SPEC", "a string", "another kind", "another name", "import", "syntax", "fields"],
)
def test_a_file_that_is_no_plug_in_is_refused_in_one_line(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "gmu.py").write_text(source)

    with pytest.raises(PluginError, match=message) as caught:
        lookup.load("models", str(tmp_path / "gmu.py"))

    assert str(tmp_path / "gmu.py") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"No model '.*gmu\.py' \(No such file or directory\)"):
        lookup.load("models", str(tmp_path / "gmu.py"))


def test_a_file_with_the_name_of_a_built_in_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, "models", "concat")

    with pytest.raises(PluginError, match="'concat' is the name of another model already: rename the file"):
        lookup.load("models", str(path))


def test_a_package_with_the_name_of_a_built_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_package(tmp_path, "clashing_package", {"models": "concat"}))

    with pytest.raises(PluginError, match="Two models are named 'concat', from merkit and the package 'clashing_pack"):
        lookup.load("models", "concat")
    assert lookup.load("models", "single").name == "single"


def test_two_listed_files_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [str(write_file(tmp_path / folder, "models", "mine")) for folder in ("a", "b")]
    monkeypatch.setenv(lookup.PLUGINS, ":".join([*files, files[0]]))

    with pytest.raises(PluginError, match=f"Two models are named 'mine', from {files[0]} and {files[1]}: rename"):
        lookup.load("models", "mine")


def test_threads_share_the_import_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path, "models", "shared_by_threads")
    begun, other = Event(), Event()
    monkeypatch.setattr(lookup, "EVENTS", (begun, other), raising=False)
    head = "from merkit.core import lookup\nlookup.EVENTS[0].set()\nlookup.EVENTS[1].wait(0.2)\n"
    path.write_text(head + path.read_text())

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(lookup.load, "models", str(path))
        assert begun.wait(10)
        second = threads.submit(lookup.load, "models", str(path))
        second.add_done_callback(lambda _: other.set())

    assert first.result().config is second.result().config


def test_an_entry_point_without_its_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = write_package(tmp_path, "hollow_package", {"models": "hollow"})
    (site / "hollow_package" / "hollow.py").unlink()
    monkeypatch.syspath_prepend(site)

    with pytest.raises(PluginError, match=r"hollow_package 1\.5, entry point hollow = .*: cannot be imported"):
        lookup.load("models", "hollow")


def test_an_unknown_name_is_told_with_what_is_installed(installed: str) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pack_models'"):
        lookup.load("models", "pack_modles")


def test_nothing_is_left_of_a_module_that_failed(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('no')")
    before = set(sys.modules)

    with pytest.raises(PluginError):
        lookup.load("models", str(tmp_path / "broken.py"))

    assert not {name for name in set(sys.modules) - before if "broken" in name}
