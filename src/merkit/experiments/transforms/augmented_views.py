"""Augmented views of one fold (``[views]``): which donor speaks which view, generating missing ones, and opening them.

The views of a fold follow from its training split alone. A donor, whose voice an engine takes, is a training recording
of the same class by another speaker, and never one of a speaker of the test split. Donors are drawn so that a fold
without some of the speakers keeps most of the pairs of the others: generated views are shared between folds and seeds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt

from merkit.core.encoder import Encoder
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import PlugInSpec
from merkit.core.model import reads_views
from merkit.core.progress import ProgressCallback
from merkit.core.protocol import Fold, Target
from merkit.core.settings import Settings
from merkit.core.types import Turn, Utterance
from merkit.core.view import AudioEngine, Speaking, TextEngine, ViewConfig, ViewSpec, Wording
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset
from merkit.data.features.sources import open_sources
from merkit.data.views import FOLDER, Views, find_view, seed_of, view_path, write_view
from merkit.encoders.sound.samples import audio_content
from merkit.experiments.cell import Cell
from merkit.experiments.mistakes import plug_in_table
from merkit.experiments.recipe import CheckOther, Recipe
from merkit.experiments.transform import Resources, Transform


class ViewsTable(Settings):
    """``[views]``: how augmented views are generated; a modality without an engine stays as it is."""

    count: Annotated[PositiveInt, Field(le=100)] = 2
    """Views per training utterance; one of them is drawn whenever the utterance is."""
    text: dict[str, Any] | None = None
    """Engine for the text: its ``name`` and settings."""
    audio: dict[str, Any] | None = None
    """Engine for the audio: its ``name`` and settings."""


def _engines(table: ViewsTable, mistakes: list[str]) -> dict[str, tuple[ViewSpec, ViewConfig]]:
    """Check the engines of ``[views]`` by modality; those with mistakes are left out."""
    engines = {}
    for modality, keys in (("text", table.text), ("audio", table.audio)):
        if keys is not None and (engine := plug_in_table("views", modality, keys, mistakes)):
            engines[modality] = engine
    return engines


@dataclass(frozen=True, slots=True)
class PlannedView:
    """One view of an utterance of a fold's training split."""

    utterance: Utterance
    number: int
    """From 0."""
    donor: Utterance | None
    """Utterance whose voice it takes; ``None``: the engine needs none."""

    @property
    def seed(self) -> int:
        """Return the seed of the engine's random draws."""
        return seed_of("view", self.utterance.id, self.number)

    @property
    def voice(self) -> str:
        """Return the speaker whose voice is heard."""
        return (self.utterance if self.donor is None else self.donor).speaker


@dataclass(frozen=True)
class Made:
    """The views of a fold: plans and turns, in the same order."""

    planned: Sequence[PlannedView]
    turns: Sequence[Turn]
    new: int
    """Number of files that were generated now."""
    kept: int
    """Number of views with the utterance's own recording, as its text has no words to speak."""


class Maker:
    """Generates the views of one manifest with the engines of a recipe."""

    def __init__(self, table: ViewsTable, manifest: Manifest) -> None:
        self.count = table.count
        self.manifest = manifest
        self.folder = (manifest.root / FOLDER).resolve()  # media paths are relative to the root or absolute
        chosen = _engines(table, [])
        self.specs = [spec for spec, _ in chosen.values()]
        self._engines = {modality: spec.build(config) for modality, (spec, config) in chosen.items()}
        self.text: TextEngine | None = self._engines.get("text")
        self.audio: AudioEngine | None = self._engines.get("audio")

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """By modality all that the views depend on besides utterances and donors, as JSON values."""
        return {modality: dict(engine.identity()) for modality, engine in self._engines.items()}

    def plan(self, fold: Fold) -> list[PlannedView]:
        """Plan the views of a fold's training split, in its order.

        Raises:
            ConfigError: The engine needs a donor and an utterance has none.
        """
        utterances = [self.manifest.by_id[name] for name in fold.train]
        donors = self._donors(fold) if self.audio is not None and self.audio.needs_donor else None
        return [
            PlannedView(utterance, number, None if donors is None else self._donor(utterance, number, donors, fold))
            for utterance in utterances
            for number in range(self.count)
        ]

    def make(
        self, planned: Sequence[PlannedView], turns: Mapping[str, Turn], progress: ProgressCallback | None = None
    ) -> Made:
        """Return the planned views, each a turn with an id of its own; generates missing ones.

        Args:
            planned: Result of ``plan``.
            turns: Utterances and donors by id.
            progress: Called with the number of finished views.

        Raises:
            MerkitError: An engine lacks what it needs, or a recording cannot be read.
        """
        texts, new = self._texts(planned, progress)
        made, kept = [], 0
        for done, (view, text) in enumerate(zip(planned, texts, strict=True), start=1):
            turn = turns[view.utterance.id]
            changed = replace(turn.utterance, text=text)
            if self.audio is not None and turn.utterance.audio is not None:
                if self.audio.reads_text and not any(character.isalnum() for character in text or ""):
                    kept += 1
                else:
                    file, is_new = self._recording(self.audio, view, turn, text, turns)
                    new += is_new
                    changed = replace(
                        changed, audio=str(file), start_s=None, end_s=None, video=None, speaker=view.voice
                    )
            # by content, so that other folds' and recipes' views of this number have features of their own
            content = f"{seed_of(str(changed.text), Path(str(changed.audio)).name):016x}"
            changed = replace(changed, id=f"{view.utterance.id}#{view.number}-{content}")
            made.append(replace(turn, utterance=changed))
            if progress is not None:
                progress("views", done, len(planned))
        return Made(planned, made, new, kept)

    def _texts(self, planned: Sequence[PlannedView], progress: ProgressCallback | None) -> tuple[list[str | None], int]:
        """Return the text of each view and the number of new wordings."""
        engine = self.text
        if engine is None:
            return [view.utterance.text for view in planned], 0
        files: dict[int, Path] = {}
        missing: dict[Path, Wording] = {}
        written: dict[Path, Path] = {}
        for position, view in enumerate(planned):
            if text := view.utterance.text:
                made_of = {"engine": self.identity["text"], "text": text, "number": view.number, "seed": view.seed}
                path = view_path(self.folder, "text", made_of)
                found = find_view(path)
                files[position] = found or path
                if found is None:
                    missing[path] = Wording(text, view.number, view.seed)
        waiting = list(missing.items())
        for first in range(0, len(waiting), engine.batch):
            batch = waiting[first : first + engine.batch]
            for (path, _), text in zip(batch, engine.rewrite([wording for _, wording in batch]), strict=True):
                written[path] = write_view(path, text)
            if progress is not None:
                progress("wordings", first + len(batch), len(waiting))
        reworded = {position: written.get(file, file).read_text(encoding="utf-8") for position, file in files.items()}
        return [reworded.get(position, view.utterance.text) for position, view in enumerate(planned)], len(waiting)

    def _recording(
        self, engine: AudioEngine, view: PlannedView, turn: Turn, text: str | None, turns: Mapping[str, Turn]
    ) -> tuple[Path, bool]:
        """Return the file of a view's recording, and whether it was generated now."""
        donor = None if view.donor is None else turns[view.donor.id]
        made_of = {
            "engine": self.identity["audio"],
            "said": text if engine.reads_text else None,
            "heard": None if engine.reads_text else audio_content(turn),
            "donor": None if donor is None else audio_content(donor),
            "seed": view.seed,
        }
        path = view_path(self.folder, "audio", made_of)
        file = find_view(path)
        if file is not None:
            return file, False
        return write_view(path, engine.speak(Speaking(turn, text, donor, view.seed))), True

    def _donors(self, fold: Fold) -> dict[Target, dict[str, list[Utterance]]]:
        """Return by class and speaker the training recordings whose voice may be taken; never of unknown speakers."""
        tested = {self.manifest.by_id[name].speaker for name in fold.test}
        donors: dict[Target, dict[str, list[Utterance]]] = {}
        for name, label in fold.train.items():
            utterance = self.manifest.by_id[name]
            if utterance.audio is not None and utterance.speaker and utterance.speaker not in tested:
                donors.setdefault(label, {}).setdefault(utterance.speaker, []).append(utterance)
        return donors

    def _donor(
        self, utterance: Utterance, number: int, donors: Mapping[Target, Mapping[str, Sequence[Utterance]]], fold: Fold
    ) -> Utterance | None:
        """Draw a speaker, then one of the speaker's recordings: those with the smallest hash with the view."""
        if utterance.audio is None:
            return None
        by_speaker = donors.get(fold.train[utterance.id], {})
        speakers = [speaker for speaker in by_speaker if speaker != utterance.speaker]
        if not speakers:
            raise ConfigError(
                f"views.audio: utterance '{utterance.id}' of fold {fold.name} has no donor of a voice: no other "
                "speaker of the training split has its emotion (speakers of the test split and unknown ones do not "
                "count). Choose an engine that needs none, such as 'perturb'."
            )
        speaker = min(speakers, key=lambda name: seed_of(utterance.id, number, name))
        return min(by_speaker[speaker], key=lambda donor: seed_of(utterance.id, number, donor.id))


def open_views(made: Made, encoders: Mapping[str, Encoder], features: Path, progress: ProgressCallback | None) -> Views:
    """Return the views for a training split; extracts missing features first.

    Where an encoder normalises by speaker, the speaker of a view is the one whose voice is heard.

    Raises:
        MerkitError: An encoder cannot read views: its features were not extracted by merkit.
    """
    by_utterance: dict[str, list[Turn]] = {}
    for view, turn in zip(made.planned, made.turns, strict=True):
        by_utterance.setdefault(view.utterance.id, []).append(turn)
        for modality, encoder in encoders.items():
            if getattr(view.utterance, modality) is not None and encoder.content(turn) is None:
                raise MerkitError(
                    f"encoders.{modality}: cannot encode the augmented view '{turn.utterance.id}': choose an "
                    "encoder that reads recordings and texts"
                )
    return Views(by_utterance, open_sources(encoders, made.turns, features, progress))


class AugmentedViews(Transform):
    """Adds the augmented views of a fold's training split, for a model whose training reads them."""

    name = "views"
    summary = "Augmentation: other wordings and recordings of the training utterances, for models that read them."
    table = ViewsTable

    @classmethod
    def check_table(
        cls, table: ViewsTable | None, recipe: Recipe, check_other: CheckOther, mistakes: list[str]
    ) -> ViewsTable | None:
        """Check ``[views]``: present for a model whose training reads views, and only for such a one."""
        model = recipe.model
        if table is None:
            if reads_views(model, recipe.config):
                mistakes.append(
                    f"views: is missing; '{model.name}' with these settings learns from augmented views, generated by "
                    "engines that [views.text] and [views.audio] name ('merkit list views')"
                )
            return None
        if "views" not in model.inputs:
            mistakes.append(f"views: '{model.name}' reads no augmented views; leave the table out")
            return None
        if not table.text and not table.audio:
            mistakes.append("views: names no engine; give [views.text], [views.audio] or both")
        engines = _engines(table, mistakes).items()
        return table.model_copy(
            update={modality: {"name": spec.reference, **config.toml_values()} for modality, (spec, config) in engines}
        )

    @classmethod
    def of(cls, cell: Cell) -> Self | None:
        settings = cell.recipe.transforms.get(cls.name)
        if isinstance(settings, ViewsTable) and reads_views(cell.recipe.model, cell.recipe.config):
            return cls(cell, settings)
        return None

    def __init__(self, cell: Cell, settings: ViewsTable) -> None:
        self.cell = cell
        self.settings = settings
        self.maker = Maker(settings, cell.manifest)

    def plug_ins(self) -> Sequence[PlugInSpec]:
        return self.maker.specs

    def identity(self) -> Any:
        donors = [(view.utterance.id, view.number, view.donor and view.donor.id) for view in self._planned]
        return {"engines": self.maker.identity, "donors": hashlib.sha256(repr(donors).encode()).hexdigest()}

    def describe(self) -> Mapping[str, Any]:
        return self.settings.toml_values()

    def apply(self, dataset: Dataset, resources: Resources) -> Dataset:
        turns = {turn.utterance.id: turn for turn in dataset.turns()}
        made = self.maker.make(self._planned, turns, resources.progress)
        return replace(dataset, views=open_views(made, resources.encoders, self.cell.features, resources.progress))

    @cached_property
    def _planned(self) -> list[PlannedView]:
        return self.maker.plan(self.cell.fold)
