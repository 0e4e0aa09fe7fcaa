"""The most frequent class of the training split: the lowest baseline."""

from collections.abc import Iterable

from merkit.core.batch import Batch, ModelOutput
from merkit.core.model import ModelConfig, ModelSpec
from merkit.models._fitted import FittedBaseline, labelled


class Majority(FittedBaseline):
    """Predicts the class shares of the training split for every utterance."""

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
    summary="the most frequent training class (baseline)",
    level="utterance",
    config=ModelConfig,
    build=Majority,
    multi_label=True,
    modalities=(0, 0),
)
