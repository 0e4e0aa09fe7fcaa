"""``merkit list`` and ``merkit cite``: what there is, and whom to credit."""

from typing import Annotated

import typer

from merkit.cli.options import AsJson


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="models, encoders, aligners, corpora, protocols, views, recipes or grids.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Name what there is of a kind, a line each."""
    import json

    from merkit.core.errors import UnknownNameError
    from merkit.core.lookup import KINDS, load, names, unknown
    from merkit.experiments.shipped import grids_folder, recipes_folder

    folders = {"recipes": recipes_folder(), "grids": grids_folder()}
    if kind in folders:
        folder = folders[kind]
        rows = [(str(path.relative_to(folder)), "", "merkit") for path in sorted(folder.rglob("*.toml"))]
    elif kind in KINDS:
        specs = [load(kind, name) for name in names(kind)]
        rows = [(spec.name, spec.summary, str(spec.origin)) for spec in specs]
    else:
        raise UnknownNameError(unknown("kind", kind, [*KINDS, *folders]))
    if as_json:
        print(json.dumps([{"name": name, "summary": summary, "source": source} for name, summary, source in rows]))
        return
    width = max(len(name) for name, _, _ in rows)
    for name, summary, source in rows:
        print(f"{name:{width}}  {summary}{'' if source == 'merkit' else f' ({source})'}".rstrip())


def cite(
    name: Annotated[str, typer.Argument(help="A model, corpus or protocol.", show_default=False)],
) -> None:
    """Print the BibTeX entry of a paper, and where merkit differs from it."""
    from merkit.core.errors import UnknownNameError
    from merkit.core.lookup import load, names, unknown
    from merkit.core.model import ModelSpec

    packages = ("models", "corpora", "protocols")
    found = [load(package, name) for package in packages if name in names(package)]
    if not found:
        everything = sorted({known for package in packages for known in names(package)})
        raise UnknownNameError(unknown("model, corpus or protocol", name, everything))
    for spec in found:
        if spec.citation is None:
            print(f"% {spec.name}: no publication; cite merkit (CITATION.cff)")
        else:
            print(spec.citation.bibtex.strip())
        if isinstance(spec, ModelSpec) and spec.released is not None:
            print(f"% compared with: {spec.released.url} at {spec.released.commit} (docs/parity.md)")
        for deviation in getattr(spec, "deviations", ()):
            print(f"% differs: {deviation}")
