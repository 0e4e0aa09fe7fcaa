"""``merkit list`` and ``merkit cite``: what there is, and whom to credit."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from merkit.cli.console import show, show_json
from merkit.cli.options import AsJson


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="models, encoders, aligners, corpora, protocols, views, recipes, grids or weights.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """List what there is of a kind: name, summary, and where it comes from if that is not merkit.

    Of weights: their licence, where they are, and the command that gets those that are missing.
    """
    from merkit.core.errors import UnknownNameError
    from merkit.core.lookup import KINDS, load, names, unknown
    from merkit.experiments.shipped import KINDS as FILES
    from merkit.experiments.shipped import shipped

    if kind == "weights":
        _list_weights(as_json)
        return
    if kind in FILES:
        rows = [(name, _summary(path), "merkit") for name, path in shipped(kind).items()]
    elif kind in KINDS:
        specs = [load(kind, name) for name in names(kind)]
        rows = [(spec.name, spec.summary, str(spec.origin)) for spec in specs]
    else:
        raise UnknownNameError(unknown("kind", kind, [*KINDS, *FILES, "weights"]))
    if as_json:
        show_json([{"name": name, "summary": summary, "source": source} for name, summary, source in rows])
        return
    width = max(len(name) for name, _, _ in rows)
    for name, summary, source in rows:
        show(f"{name:{width}}  {summary}{'' if source == 'merkit' else f' ({source})'}".rstrip())


def _list_weights(as_json: bool) -> None:
    from merkit.weights.folders import whereabouts
    from merkit.weights.known import KNOWN

    places = {name: whereabouts(weights) for name, weights in KNOWN.items()}
    if as_json:
        facts = ("name", "summary", "licence", "sha256", "hub_id", "revision", "command")
        show_json([{fact: getattr(KNOWN[name], fact) for fact in facts} | {"where": places[name]} for name in KNOWN])
        return
    width = max(map(len, KNOWN))
    for name, weights in KNOWN.items():
        where = f"in the {places[name]}" if places[name] else f"missing: {weights.command}"
        show(f"{name:{width}}  {weights.summary}; {weights.licence}; {where}")


def _summary(path: Path) -> str:
    """Return a recipe's protocol and encoders, or how many variants a grid has."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    if "variants" in values:
        return f"{len(values['variants'])} variants"
    encoders = ", ".join(f"{modality} {keys['name']}" for modality, keys in values.get("encoders", {}).items())
    return f"{values['protocol']}{': ' if encoders else ''}{encoders}"


def copy(
    name: Annotated[str, typer.Argument(help="A recipe or grid, as 'merkit list' names it.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="The file to be written.", show_default=False)],
) -> None:
    """Write a shipped recipe or grid into a file of your own, to be edited."""
    from merkit.core.errors import MerkitError
    from merkit.data.files import write_texts
    from merkit.experiments.shipped import find_file, shipped

    if os.path.lexists(target):
        raise MerkitError(f"'{target}' exists: choose another file, or remove it")
    source = find_file("grids" if name in shipped("grids") else "recipes", name)
    write_texts({target: source.read_text(encoding="utf-8")})
    show(f"{target} written")


def cite(
    name: Annotated[str, typer.Argument(help="A model, corpus or protocol.", show_default=False)],
) -> None:
    """Print the BibTeX entry of a paper, and where merkit differs from it."""
    from merkit.core.errors import UnknownNameError
    from merkit.core.lookup import load, names, unknown
    from merkit.core.model import ModelSpec

    packages = ("models", "corpora", "protocols")
    specs = [load(package, name) for package in packages if name in names(package)]
    if not specs:
        everything = sorted({known for package in packages for known in names(package)})
        raise UnknownNameError(unknown("model, corpus or protocol", name, everything))
    for spec in specs:
        corpus = getattr(spec, "corpus", None)
        citation = spec.citation or (load("corpora", corpus).citation if corpus else None)
        if citation is None:
            show(f"% {spec.name}: no publication; cite merkit (CITATION.cff)")
        else:
            show(citation.bibtex.strip())
        if isinstance(spec, ModelSpec):
            if spec.released is not None:
                show(f"% compared with: {spec.released.url} at {spec.released.commit} (docs/parity.md)")
            for deviation in spec.deviations:
                show(f"% differs: {deviation}")
