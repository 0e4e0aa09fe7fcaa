"""CMU-MOSI, two sentiments, the split of bc-LSTM by video (no speaker is in two splits).

There is no published validation split: the run's seed draws eight of the 62 training videos (13 %).

The text and video features published with the split come from networks that were trained on all 62 training videos, so
that a linear model of text is right for 99 % of the validation utterances, and far less often in the test split:
validation on these features selects nothing. Report the ``last`` epoch with them.
"""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.model import Citation
from merkit.core.protocol import Fold, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import conversation, cut
from merkit.protocols._labels import Counts, EpochOptions, MappedProtocol, attribute

VALID_SHARE = 0.13
"""Of the training videos: 8 of 62."""


class Mosi2(MappedProtocol):
    """Negative against positive; a conversation is a video."""

    name = "mosi2"
    labels = ("negative", "positive")
    metrics = ("accuracy", "weighted_f1", "macro_f1", "mean_recall")
    attribute = "sentiment"
    expected: ClassVar[Counts] = {
        "train": {"conversations": 62, "negative": 738, "positive": 709},
        "test": {"conversations": 31, "negative": 285, "positive": 467},
    }
    source: ClassVar[str] = "the split of Poria et al. 2017"

    def subset(self, utterance: Utterance) -> str:
        """Return the published split."""
        return attribute(utterance, "split", self.name)

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold, ``official``, with validation videos drawn from the training videos by ``seed``."""
        members = self.checked(utterances)
        learnable = [utterance for utterance in members if self.subset(utterance) == "train"]
        test = [utterance for utterance in members if self.subset(utterance) == "test"]
        return [cut(self, "official", learnable, test, conversation, VALID_SHARE, seed, "official")]


SPEC = ProtocolSpec(
    name="mosi2",
    summary="CMU-MOSI, negative/positive, bc-LSTM split (62 / 31 videos, 1,447 / 752 utterances), 8 videos validate",
    corpus="cmu_mosi",
    options=EpochOptions,
    build=Mosi2,
    citation=Citation(
        url="https://aclanthology.org/P17-1081",
        bibtex="""@inproceedings{poria2017context,
  title     = {Context-Dependent Sentiment Analysis in User-Generated Videos},
  author    = {Poria, Soujanya and Cambria, Erik and Hazarika, Devamanyu and Majumder, Navonil and Zadeh, Amir and
               Morency, Louis-Philippe},
  booktitle = {Proceedings of the 55th Annual Meeting of the Association for Computational Linguistics},
  pages     = {873--883},
  year      = {2017},
  doi       = {10.18653/v1/P17-1081}
}""",
    ),
)
