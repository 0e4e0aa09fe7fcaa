"""The model card: what a checkpoint is, what it was made of, and what it should not be used for."""

from collections.abc import Mapping
from typing import Any

from merkit.core.model import Model, ModelSpec
from merkit.io.checkpoint import CheckpointConfig, published_features


def model_card(config: CheckpointConfig, model: Model, spec: ModelSpec, provenance: Mapping[str, Any]) -> str:
    """Return a checkpoint's ``README.md`` in Markdown."""
    data = provenance["data"]
    paper = "no paper: a baseline" if spec.citation is None else spec.citation.short
    published = published_features(model)
    lines = [
        f"# {spec.name} on {config.protocol}",
        "",
        spec.summary,
        "",
        f"* Source: {paper}",
        f"* Classes: {', '.join(config.labels)}",
        f"* Level: {spec.level}",
        f"* Parameters: {sum(parameter.numel() for parameter in model.parameters()):,}",
        f"* Trained on: {data['corpus']} (sha256 {data['sha256'][:12]}{', a part of it' if data['partial'] else ''})",
        f"* Licence of the data: {data['licence'] or 'not known'}; it may bind the weights as well",
        f"* Made with: merkit {provenance['merkit']}, commit {provenance['commit'] or 'unknown'}",
        "",
        "## Encoders",
        "",
        *(f"* {modality}: {_told(facts)}" for modality, facts in provenance["encoders"].items()),
        *(["* none"] if not provenance["encoders"] else []),
        "",
        *_transforms(provenance.get("transforms", {})),
        "## Differences from the paper",
        "",
        *(f"* {deviation}" for deviation in spec.deviations),
        *(["* none known"] if not spec.deviations else []),
        "",
        "## Figures",
        "",
        "In `scores.json` of the run that this checkpoint comes from, with intervals and how the epoch was chosen.",
        "",
        "## Use",
        "",
        *(
            ["It reads published features: it can predict corpora that hold them, and cannot read recordings.", ""]
            if published
            else []
        ),
        "```",
        *([] if published else [analyze_command(config, "recording.wav", "THIS_FOLDER", "words.srt")]),
        "merkit predict DATA --checkpoint THIS_FOLDER --out predictions.parquet",
        "```",
        "",
        "What it names are the labels that raters or actors of its corpus gave, not what a person feels. It was "
        "measured on that corpus alone; expect worse on other speakers, languages and microphones. Law may forbid its "
        "use, at work and in schools of the European Union above all.",
        "",
    ]
    return "\n".join(lines)


def analyze_command(config: CheckpointConfig, recording: str, checkpoint: str, transcript: str) -> str:
    """Return the command that labels a recording; its arguments are given as words of the shell."""
    words = f" --transcript {transcript}" if "text" in config.reads else ""
    return f"merkit analyze {recording}{words} --checkpoint {checkpoint}"


def _transforms(described: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the section about what was changed in the training split."""
    if not described:
        return []
    lines = ["## Training split", ""]
    for name, facts in described.items():
        nested = {key: value for key, value in facts.items() if isinstance(value, Mapping)}
        lines.append(f"* {name}: {_told({key: value for key, value in facts.items() if key not in nested})}")
        for key, entries in nested.items():
            for entry, value in entries.items():
                lines.append(f"  * {key}.{entry}: {_told(value) if isinstance(value, Mapping) else value}")
    return [*lines, ""]


def _told(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
