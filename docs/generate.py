"""Write the parts of the documentation that follow from the code; a hook of mkdocs (``mkdocs.yml``).

A page asks for a part with a comment, ``<!-- generated: system ada2i -->``. Another comment, ``<!-- not run: why -->``,
stands before each code block that the documentation tests do not run, and becomes a line that a reader sees.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import tomli_w
import torch
import typer
from pydantic import BaseModel

import merkit
from merkit.core.encoder import Encoder
from merkit.core.lookup import load, names
from merkit.core.types import Utterance
from merkit.data.corpus.rows import to_arrays, to_columns
from merkit.experiments.grid import read_grid
from merkit.experiments.recipe_files import read_toml
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.shipped import shipped_folder
from merkit.experiments.transforms.registry import TRANSFORMS
from merkit.io.decision_rule import DecisionRule
from merkit.io.predictions import predictions_table
from merkit.training.config import LossConfig, TrainingConfig
from merkit.weights.models import built_in_model

MARKER = re.compile(r"^<!-- generated: (\w+) ?([\w-]*) -->$", re.MULTILINE)
NOT_RUN = re.compile(r"^( *)<!-- not run: (.+?) -->$", re.MULTILINE)
SCORE = re.compile(r"\d ± \d|\[[+−]?[\d.]+, [+−]?[\d.]+\]")
"""What no line of a table should break."""
PAPER = {
    "aux_fusion": "iemocap4-session",
    "multilevel": "iemocap4-session",
    "mmer": "iemocap4-session",
    "cmath": "iemocap6",
    "ada2i": "meld7-paper",
}
"""System to its recipe with the paper's settings."""
STAND_IN_DIM = 768
COLUMNS = {
    "manifest": {
        "id": "a unique name",
        "conversation": "the conversation; by default every utterance is its own",
        "turn": "the position in the conversation, from 0",
        "speaker": "a name; empty if unknown",
        "text": "the transcript",
        "audio": "a media file, relative to the folder",
        "video": "a media file, relative to the folder",
        "start_s": "beginning of the utterance's segment of the media file, in seconds; empty: the file's",
        "end_s": "end of that segment, in seconds; empty: the file's",
        "language": "a code such as `en`; a model does not read words in another language than those of its training",
    },
    "predictions": {
        "id": "of the utterance; the true label is joined by it",
        "split": "train, valid or test",
        "label": "the predicted label; empty where a model's decision rule gives none",
        "confidence": "the highest probability; empty where there are none",
        "modalities": "those that the prediction used, separated by commas",
        "labels": "all labels, the most probable first (in CSV with `;` between); only of a model of several",
        "reason": "why there is no label; only where there are such reasons, or the model may give no label",
        "arousal": "the probability that arousal is above the speaker's own average; only of a model that predicts it",
        "p:LABEL": "the probability of each label",
    },
}
"""What the columns of files hold."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments of a page by what they ask for; called by mkdocs."""
    markdown = NOT_RUN.sub(r'\1<p class="not-run">Not run by the documentation tests: \2.</p>\n', markdown)
    markdown = SCORE.sub(lambda match: match[0].replace(" ", "\N{NO-BREAK SPACE}"), markdown)
    return MARKER.sub(lambda match: PARTS[match[1]](*filter(None, [match[2]])), markdown)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    code = text.startswith("`") and text.endswith("`")
    text = " ".join(text.split()).replace("|", "&#124;" if not code else "\\|")
    return text.replace("``", "`") if not code else text


def keys(config: type[BaseModel], heading: str = "key") -> str:
    """Return the keys of a settings class as a table: type, default and the docstring below the field."""
    schema = config.model_json_schema()
    fields = schema.get("properties", {})
    if not fields:
        return "No keys.\n"
    docs = field_docs(config)
    required = set(schema.get("required", ()))
    rows = [
        (
            f"`{name}`",
            _type(field, schema),
            "required"
            if name in required
            else f"`{_toml(config.model_fields[name].get_default(call_default_factory=True))}`",
            docs.get(name, ""),
        )
        for name, field in fields.items()
    ]
    return table((heading, "type", "default", "meaning"), rows) + "\n"


def field_docs(config: type) -> dict[str, str]:
    """Return the docstrings below the fields of a class and of its bases."""
    found: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
        for field, below in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = inspect.cleandoc(below.value.value).replace("\n\n", " ")  # type: ignore[union-attr]
    return found


def _type(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _type(schema["$defs"][field["$ref"].rsplit("/", 1)[1]], schema)
    if "anyOf" in field:
        return " or ".join(_type(choice, schema) for choice in field["anyOf"] if choice.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{_toml(value)}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return "list of " + _type(field.get("items", {}), schema)
    if field.get("type") == "object":
        return "table"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in bounds.items() if name in field]
    return " ".join([field.get("type", "any"), ", ".join(limits)]).strip()


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    return (
        tomli_w.dumps({"x": list(value) if isinstance(value, tuple) else value}, multiline_strings=False)[4:].strip()
        if not isinstance(value, dict)
        else "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    )


class _StandIn(Encoder):
    """An encoder that is nothing but a size, to count a model's own parameters."""

    fingerprint = content = extract = blank = forward = describe = None  # type: ignore[assignment]

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality, self.dim, self.hop_s = modality, STAND_IN_DIM, 0.02


def parameters(system: str) -> tuple[int, int]:
    """Return how many parameters a system has with its paper's settings, encoders left out, and how many classes."""
    recipe = read_recipe(shipped_folder("recipes") / system / f"{PAPER[system]}.toml")
    classes = len(recipe.protocol.build(recipe.options, False).labels)
    with torch.device("meta"):
        model = recipe.model.build({name: _StandIn(name) for name in recipe.encoders}, classes, recipe.config)
    return sum(parameter.numel() for parameter in model.parameters()), classes


def system(name: str) -> str:
    """Return what a model's ``SPEC``, its recipes and its grid say of it."""
    spec, paper = load("models", name), PAPER[name]
    recipe = read_recipe(shipped_folder("recipes") / name / f"{paper}.toml")
    count, classes = parameters(name)
    listed = [
        (
            f"`{name}/{path.stem}`",
            ", ".join(f"{modality}: {values['name']}" for modality, values in toml["encoders"].items()),
            f"`{toml['protocol']}`",
        )
        for path in sorted((shipped_folder("recipes") / name).glob("*.toml"))
        for toml in [read_toml(path)]
    ]
    cite = spec.citation
    return "\n".join(
        [
            "## Paper",
            f"[{cite.short}]({cite.url})",
            "\n## Cost",
            f"With the settings of `{name}/{paper}`: {count / 1e6:.2f} million parameters beside the encoders', "
            f"counted with {len(recipe.encoders)} encoders of {STAND_IN_DIM} numbers each and {classes} classes.",
            "\n## Recipes",
            table(("recipe", "encoders", "protocol"), listed),
            "\n## Settings",
            "The table `[config]` of a recipe.\n",
            keys(spec.config),
            *(["## Ablation", _ablation(name, paper)] if (shipped_folder("grids") / f"{name}.toml").exists() else []),
            "\n## Differences from the paper",
            *(f"* {sentence}" for sentence in spec.deviations or ("None.",)),
            "",
        ]
    )


def _ablation(name: str, paper: str) -> str:
    variants = read_grid(shipped_folder("grids") / f"{name}.toml", shipped_folder("recipes") / name / f"{paper}.toml")
    base = _flat(variants[0].recipe.resolved())
    rows = []
    for variant in variants[1:]:
        values = _flat(variant.recipe.resolved())
        changed = [f"`{key} = {_toml(values[key])}`" for key in values if base.get(key) != values[key]]
        changed += [f"without `{key}`" for key in base if key not in values]
        rows.append((f"{variant.name}", ", ".join(changed)))
    return f"The variants of `grids/{name}.toml`:\n\n" + table(("variant", "changes"), rows) + "\n"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {prefix + key: value}
    return found


def recipe_keys() -> str:
    """Return every table of a recipe that does not depend on the model, with its keys."""
    tables = (
        ("[training]", "How the model is trained.", TrainingConfig),
        ("[loss]", "The classification loss.", LossConfig),
        *((f"[{spec.name}]", spec.summary, spec.table) for spec in TRANSFORMS if spec.table is not None),
    )
    return "\n".join(f"## `{heading}`\n\n{summary}\n\n{keys(config)}" for heading, summary, config in tables)


def plug_ins(package: str) -> str:
    """Return all plug-ins of a package, with their settings."""
    parts = []
    for name in names(package):
        spec = load(package, name)
        config = getattr(spec, "config", None) or spec.options
        link = f" [Its page](../systems/{name}.md)." if name in PAPER else ""
        settings = keys(config) if config.model_fields and not link else ""
        parts.append(f"### `{name}`\n\n{spec.summary[:1].upper()}{spec.summary[1:]}.{link}\n\n{settings}")
    return "\n".join(parts)


def recipes() -> str:
    """Return the recipes and grids that merkit ships."""
    rows = [
        (f"`{path.relative_to(folder).with_suffix('')}`", _first_comment(path.read_text()))
        for folder in (shipped_folder("recipes"), shipped_folder("grids"))
        for path in sorted(folder.rglob("*.toml"))
    ]
    return table(("name", "about"), rows) + "\n"


def _first_comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def commands() -> str:
    """Return every command with its arguments and options."""
    from merkit.cli.main import app

    return "\n".join(_command(name, command) for name, command in typer.main.get_command(app).commands.items())


def _command(name: str, command: Any) -> str:
    if hasattr(command, "commands"):
        below = "\n".join(_command(f"{name} {inner}", found) for inner, found in command.commands.items())
        return f"## `merkit {name}`\n\n{inspect.cleandoc(command.help or '')}\n\n{below}"
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        name_ = ", ".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name.upper()
        default = parameter.default
        shown = "required" if parameter.required else f"`{default}`" if default not in (None, False, [], ()) else ""
        rows.append((f"`{name_}`", shown, getattr(parameter, "help", "") or ""))
    arguments = table(("argument", "default", "meaning"), rows)
    return f"## `merkit {name}`\n\n{inspect.cleandoc(command.help or '')}\n\n{arguments}\n"


def columns(kind: str) -> str:
    """Return the columns of a file, ``manifest`` or ``predictions``, with their types."""
    example = Utterance(id="", conversation="", turn=0, speaker="")
    schema = {
        "manifest": pa.table(to_arrays(to_columns([example]))).schema,
        "predictions": predictions_table([], ["LABEL"], DecisionRule(arousal=True), True, split="test").schema,
    }[kind]
    meanings = COLUMNS[kind]
    assert set(schema.names) == set(meanings), f"{kind}: {set(schema.names) ^ set(meanings)}"
    rows = [(f"`{field.name}`", str(field.type), meanings[field.name]) for field in schema]
    return table(("column", "type", "content"), rows) + "\n"


def python() -> str:
    """Return the public names of ``merkit`` with signature and docstring, and the methods of its classes."""
    parts = []
    for name in sorted(merkit.__all__, key=lambda name: (name[0].isupper(), name)):
        thing = getattr(merkit, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue  # a version, an alias of a type
        shown = name if name.endswith("Error") else _signature(name, thing)
        documented = re.sub(r"(?<!`)``(?!`)", "`", _docstring(inspect.getdoc(thing) or "") + "\n\n" + _methods(thing))
        parts.append(f"## `{name}`\n\n```text\n{shown}\n```\n\n{documented}")
    return "\n".join(parts)


def _methods(kind: Any) -> str:
    lines = [
        f"* `{_signature(name, function, 10_000).replace('__call__', '', 1)}`: "
        + " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        for name, function in vars(kind).items()
        if inspect.isclass(kind) and inspect.isfunction(function) and (name == "__call__" or not name.startswith("_"))
    ]
    return "\n".join(["**Methods**", "", *lines, ""]) if lines else ""


def _signature(name: str, thing: Any, width: int = 100) -> str:
    signature = re.sub(r"<class '([\w.]+)'>", r"\1", f"{name}{inspect.signature(thing)}")
    signature = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", signature).replace("(self, ", "(").replace("(self)", "()")
    signature = signature.replace("numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]", "Array")
    if len(signature) <= width:
        return signature
    head, _, rest = signature.partition("(")
    inside, arrow, result = rest.rpartition(")")
    return f"{head}(\n    " + re.sub(r", (?=\*?\*?\w+:|\*,|\*\w|/,)", ",\n    ", inside) + f"\n){arrow and result}"


def _docstring(text: str) -> str:
    """Return a docstring in Google style as Markdown."""
    lines, section = [], False
    for line in text.splitlines():
        if heading := re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields):", line):
            lines += ["", f"**{heading[1]}**", ""]
            section = True
        elif section and (item := re.fullmatch(r"    (\S.*?): (.*)", line)):
            lines.append(f"* `{item[1]}`: {item[2]}")
        else:
            section = section and (line.startswith("    ") or not line)
            lines.append(line.strip() if section else line)
    return "\n".join(lines)


def card(name: str) -> str:
    """Return the card of a model that comes with merkit, without its title."""
    text = (built_in_model(f"builtin:{name}") / "README.md").read_text(encoding="utf-8")
    return text.partition("\n")[2].lstrip()


def decision_rule() -> str:
    """Return the keys of a checkpoint's decision rule."""
    return keys(DecisionRule) + "\n"


PARTS: Mapping[str, Callable[..., str]] = {
    "card": card,
    "decision_rule": decision_rule,
    "system": system,
    "recipe": recipe_keys,
    "plugins": plug_ins,
    "recipes": recipes,
    "commands": commands,
    "columns": columns,
    "python": python,
}
"""What a page may ask for."""
