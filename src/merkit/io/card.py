"""The model card: what a checkpoint is, how it was made, and what it should not be used for."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.core.characters import markdown_text
from merkit.core.encoder import Encoder
from merkit.core.lookup import KINDS, PlugInSpec
from merkit.core.model import Model
from merkit.io.checkpoint import CheckpointConfig, published_features
from merkit.io.plug_ins import record_plug_ins


def model_card(config: CheckpointConfig, model: Model, provenance: Mapping[str, Any]) -> str:
    """Return a checkpoint's ``README.md`` in Markdown."""
    spec, data = config.spec, provenance["data"]
    paper = "no paper: a baseline" if spec.citation is None else spec.citation.short
    lines = [
        f"# {spec.name} on {markdown_text(config.protocol)}",
        "",
        spec.summary,
        "",
        f"* Source: {paper}",
        f"* Classes: {', '.join(map(markdown_text, config.labels))}",
        f"* Level: {spec.level}",
        *([] if config.languages is None else [f"* Languages of the words: {', '.join(config.languages)}"]),
        f"* Parameters: {_parameters(model)}",
        f"* Trained on: {data['corpus']} (sha256 {data['sha256'][:12]}{', a part of it' if data['partial'] else ''})",
        f"* Licence of the data: {data['licence'] or 'not known'}; it may bind the weights as well",
        f"* Made with: merkit {provenance['merkit']}, commit {provenance['commit'] or 'unknown'}",
        "",
        "## Encoders",
        "",
        *([f"* {modality}: {_listed(facts)}" for modality, facts in provenance["encoders"].items()] or ["* none"]),
        "",
        *_decision_rule(config),
        *_transforms(provenance.get("transforms", {})),
        *_plug_ins([spec, *(encoder for encoder, _ in config.encoders.values())]),
        "## Differences from the paper",
        "",
        *([f"* {deviation}" for deviation in spec.deviations] or ["* none known"]),
        "",
        "## Scores",
        "",
        "In `scores.json` of the run that this checkpoint comes from, with intervals and the rule for the epoch.",
        "",
        "## Use",
        "",
        *(
            [
                "It reads published features: it can predict corpora that hold them, and cannot read recordings.",
                "",
                "```",
            ]
            if published_features(model)
            else ["```", analyze_command(config, "recording.wav", "THIS_FOLDER", "words.srt")]
        ),
        "merkit predict DATA --checkpoint THIS_FOLDER --out predictions.parquet",
        "```",
        "",
        "It predicts the labels that raters or actors of its corpus gave, not what a person feels. It was scored on "
        "that corpus alone; expect lower scores for other speakers, languages and microphones. The law may forbid its "
        "use, in particular at work and in schools of the European Union.",
        "",
    ]
    return "\n".join(lines)


def analyze_command(config: CheckpointConfig, recording: str, checkpoint: str, transcript: str) -> str:
    """Return the command that labels a recording; its arguments are given as words of the shell."""
    words = f" --transcript {transcript}" if "text" in config.reads else ""
    return f"merkit analyze {recording}{words} --checkpoint {checkpoint}"


def _parameters(model: Model) -> str:
    """Return how many weights there are, frozen networks included, and how many were trained."""
    frozen = sum(encoder.frozen_parameters() for encoder in model.encoders.values() if isinstance(encoder, Encoder))
    total = sum(parameter.numel() for parameter in model.parameters()) + frozen
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return f"{total:,}, of them trained: {trained:,}"


def _decision_rule(config: CheckpointConfig) -> list[str]:
    """Return the section about what a prediction says, where that is not simply the most probable label."""
    if config.thresholds is not None:
        each = ", ".join(
            f"{markdown_text(label)} {value:.2f}" for label, value in zip(config.labels, config.thresholds, strict=True)
        )
        sentences = ["An utterance has any number of labels: those whose probability reaches their threshold."]
        sentences.append(f"Thresholds, best for each label's F1 on the validation split: {each}.")
        return ["## Labels", "", *(f"* {sentence}" for sentence in sentences), ""]
    if config.decision_rule is None:
        return []
    sentences = config.decision_rule.describe(config.labels)
    return ["## Decision rule", "", *(f"* {markdown_text(sentence)}" for sentence in sentences), ""]


def _transforms(described: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the section about the transforms of the training split."""
    if not described:
        return []
    lines = ["## Training split", ""]
    for name, facts in described.items():
        nested = {key: value for key, value in facts.items() if isinstance(value, Mapping)}
        lines.append(f"* {name}: {_listed({key: value for key, value in facts.items() if key not in nested})}")
        for key, entries in nested.items():
            for entry, value in entries.items():
                lines.append(f"  * {key}.{entry}: {_listed(value) if isinstance(value, Mapping) else value}")
    return [*lines, ""]


def _plug_ins(specs: Sequence[PlugInSpec]) -> list[str]:
    """Return the section about code that is not part of merkit."""
    records = record_plug_ins(specs)
    if not records:
        return []
    lines = [
        f"* {KINDS[record['kind']]} {record['name']}: {record['file'] or record['distribution']} "
        f"{record['version'] or ''} ({', '.join(f'{name} {hashed[:12]}' for name, hashed in record['code'].items())})"
        for record in records
    ]
    return ["## Code from elsewhere", "", "Loading needs the same code.", "", *lines, ""]


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
