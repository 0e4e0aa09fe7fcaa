"""The recipe: one TOML file that is one complete experiment.

Tables: ``[config]`` (the model's), ``[encoders.<modality>]``, ``[training]``, ``[loss]``, ``[options]`` (the
protocol's), and one for each training-split transform, such as ``[views]`` and ``[teacher]``; at the top ``model``,
``protocol`` and ``seeds``. There is no inheritance; a missing key has the default of its class.

An encoder ``checkpoint`` may name another recipe, that of its feature extractor, and ``[teacher]`` must name one: a
file, relative to the recipe's own folder or else to the working directory. A resolved recipe holds its content in the
file's place, as the table ``[encoders.<modality>.recipe]`` or ``[teacher.recipe]``, so that it is complete.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from merkit.core.lookup import PlugInSpec
from merkit.core.model import ModelConfig, ModelSpec
from merkit.core.protocol import ProtocolOptions, ProtocolSpec
from merkit.core.settings import Settings
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.io.checkpoint import EncoderChoices, read_config
from merkit.training.config import LossConfig, TrainingConfig


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: every name is known and every key has a valid value."""

    model: ModelSpec
    protocol: ProtocolSpec
    seeds: int
    config: ModelConfig
    encoders: EncoderChoices
    training: TrainingConfig
    loss: LossConfig
    options: ProtocolOptions
    extractors: Mapping[str, "Recipe"] = field(default_factory=dict)
    """By modality: the recipe of an encoder's feature extractor, which is trained first."""
    transforms: Mapping[str, Settings] = field(default_factory=dict)
    """By table: settings of the training-split transforms."""

    def plug_ins(self) -> list[PlugInSpec]:
        """Return the ``SPEC`` of protocol, model and encoders, those of feature extractors included."""
        specs = [self.protocol, self.model, *(spec for spec, _ in self.encoders.values())]
        for _, config in self.encoders.values():
            if isinstance(config, ExtractorConfig) and config.checkpoint is not None:
                extractor = read_config(Path(config.checkpoint))
                specs += [extractor.spec, *(spec for spec, _ in extractor.encoders.values())]
        return specs + [spec for recipe in self.extractors.values() for spec in recipe.plug_ins()]

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default written out, as TOML values (``None`` is left out)."""
        encoders = {
            modality: {"name": spec.reference, **config.toml_values()}
            for modality, (spec, config) in self.encoders.items()
        }
        return {
            "model": self.model.reference,
            "protocol": self.protocol.reference,
            "seeds": self.seeds,
            "config": self.config.toml_values(),
            "encoders": encoders,
            "training": self.training.toml_values(),
            "loss": self.loss.toml_values(),
            "options": self.options.toml_values(),
            **{table: settings.toml_values() for table, settings in self.transforms.items()},
        }

    def without_seeds(self) -> dict[str, Any]:
        """Return the resolved recipe without its number of seeds, which changes no cell."""
        return {key: value for key, value in self.resolved().items() if key != "seeds"}

    def to_toml(self) -> str:
        """Return the resolved recipe as the text of a TOML file."""
        return tomli_w.dumps(self.resolved())


CheckOther = Callable[[Mapping[str, Any], str, list[str]], Recipe | None]
"""Checks a recipe whose model is trained for another one; takes its values, its key and the list of mistakes."""
