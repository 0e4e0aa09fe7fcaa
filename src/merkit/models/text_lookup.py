"""The label that the same sentence had in training: a baseline that exposes scripts shared by training and test.

A high score means that test sentences occur in training with the same label, so that any model of text can score by
memorising them.
"""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import ModelConfig, ModelSpec
from merkit.models._fitted import FittedBaseline, labelled


class TextLookup(FittedBaseline):
    """Exact text to the label counts it had in training; unknown and missing texts get the training split's shares.

    Texts are equal if they are the same characters after runs of white space became one blank. Only 64-bit hashes are
    kept: a checkpoint holds no sentence of the corpus.
    """

    hashes: Tensor
    counts: Tensor

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ModelConfig) -> None:
        super().__init__(encoders, classes, config)
        self.register_buffer("hashes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(0, classes))

    def fit(self, batches: Iterable[Batch], seed: int) -> None:
        """Count labels by text; nothing is random.

        Raises:
            MerkitError: No utterance has a label.
        """
        texts, labels = labelled("text_lookup", batches)
        self.keep_prior(labels)
        pairs = [(_hash(text), int(label)) for text, label in zip(texts, labels, strict=True) if text is not None]
        hashes, rows = np.unique(np.asarray([key for key, _ in pairs], dtype=np.int64), return_inverse=True)
        counts = np.zeros((len(hashes), self.classes), dtype=np.float32)
        np.add.at(counts, (rows, np.asarray([label for _, label in pairs], dtype=np.int64)), 1.0)
        self.hashes, self.counts = torch.from_numpy(hashes), torch.from_numpy(counts)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return the logarithm of ``(counts + shares) / (sum of counts + 1)``: the shares break ties."""
        row_of = {key: row for row, key in enumerate(self.hashes.tolist())}
        rows = torch.zeros(len(batch.ids), self.classes)
        for index, text in enumerate(batch.texts):
            row = None if text is None else row_of.get(_hash(text))
            if row is not None:
                rows[index] = self.counts[row]
        shares = self.log_prior.cpu().exp()
        return ModelOutput(self.spread(((rows + shares) / (rows.sum(dim=1, keepdim=True) + 1.0)).log(), batch.mask))


def _hash(text: str) -> int:
    digest = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


SPEC = ModelSpec(
    name="text_lookup",
    summary="the label that the same sentence had in training (baseline)",
    level="utterance",
    config=ModelConfig,
    build=TextLookup,
    modalities=(0, 0),
    inputs=frozenset({"texts"}),
)
