"""Rewords a text by dropping some words and moving others a little; needs no network and no dictionary."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from merkit.core.view import TextEngine, ViewConfig, ViewSpec, Wording


class EditConfig(ViewConfig):
    """The amount of noise."""

    drop: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability that a word is dropped; one always stays."""
    reach: int = Field(default=2, ge=0)
    """Positions that a word may move at most."""


class Edit(TextEngine):
    """The noise of Lample et al., "Unsupervised Machine Translation Using Monolingual Corpora Only", ICLR 2018, 2.3.

    Each word is dropped with probability ``drop``; the others are sorted by ``position + u``, u uniform in
    [0, reach + 1), so that no word moves farther than ``reach``.
    """

    batch = 256

    def __init__(self, config: EditConfig) -> None:
        self.config = config

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "edit", "version": 1, **self.config.model_dump()}

    def rewrite(self, wordings: Sequence[Wording]) -> list[str]:
        return [self._edited(wording) for wording in wordings]

    def _edited(self, wording: Wording) -> str:
        words = np.array(wording.text.split(), dtype=object)
        if not len(words):
            return wording.text
        generator = np.random.default_rng(wording.seed)
        kept = generator.random(len(words)) >= self.config.drop
        if not kept.any():
            kept[generator.integers(len(words))] = True
        words = words[kept]
        order = np.argsort(np.arange(len(words)) + generator.uniform(0, self.config.reach + 1, len(words)))
        return " ".join(words[order])


SPEC = ViewSpec(
    name="edit",
    modality="text",
    summary="words dropped, others moved by a few positions",
    config=EditConfig,
    build=Edit,
)
