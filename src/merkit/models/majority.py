"""The commonest training class: the floor under every table."""

from collections.abc import Iterable

from merkit.core.batch import Batch, ModelOutput
from merkit.core.model import ModelConfig, ModelSpec
from merkit.models._fitted import Floor, labelled


class MajorityConfig(ModelConfig):
    """``majority`` has no settings."""


class Majority(Floor):
    """Answers with the training part's class shares, whatever is said; the first of equally common classes wins."""

    def fit(self, batches: Iterable[Batch], seed: int) -> None:
        """Count the classes; nothing is random.

        Raises:
            MerkitError: No utterance has a label.
        """
        _, labels = labelled("majority", batches)
        self.keep_prior(labels)

    def forward(self, batch: Batch) -> ModelOutput:
        """Return the log shares for every utterance."""
        return ModelOutput(self.spread(self.log_prior, batch.mask))


SPEC = ModelSpec(
    name="majority",
    summary="the commonest training class (floor)",
    level="utterance",
    config=MajorityConfig,
    build=Majority,
    modalities=(0, 0),
)
