"""CMU-MOSI, two sentiments, the split of bc-LSTM by video (no speaker is in two parts).

The split has no validation part: eight of the 62 training videos (13 %) become one, drawn by the run's seed.

The text and video features published with the split come from networks that were trained on all 62 training videos. On
those eight too they all but name the class (99 % for a linear model of text), on the test videos they do not: such a
validation part chooses nothing. Choose with features that no label has made, then report the ``last`` epoch.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from merkit.core.model import Citation
from merkit.core.protocol import Fold, ProtocolOptions, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._folds import conversation, cut, held_out
from merkit.protocols._labels import Counts, MappedProtocol, attribute

VALID_SHARE = 0.13
"""Of the training videos: 8 of 62."""


class Mosi2Options(ProtocolOptions):
    """Which epoch is reported."""

    selection: Literal["best_valid", "last"] = "best_valid"
    """``last`` with the published features, of which validation says nothing."""


class Mosi2(MappedProtocol):
    """Negative against positive; a conversation is a video."""

    name = "mosi2"
    labels = ("negative", "positive")
    metrics = ("accuracy", "weighted_f1", "macro_f1", "mean_recall")
    attribute = "sentiment"
    classes: ClassVar[Mapping[str, str | None]] = {"negative": "negative", "positive": "positive"}
    expected: ClassVar[Counts] = {
        "train": {"conversations": 62, "negative": 738, "positive": 709},
        "test": {"conversations": 31, "negative": 285, "positive": 467},
    }
    source: ClassVar[str] = "the split of Poria et al. 2017"

    def __init__(self, options: Mosi2Options, allow_partial: bool) -> None:
        super().__init__(options, allow_partial)
        self.selection = options.selection

    def part(self, utterance: Utterance) -> str:
        """Return the published split."""
        return attribute(utterance, "split", self.name)

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold, ``official``, its validation videos drawn from the training videos by ``seed``.

        Raises:
            CountError: The counts differ from the published split's, or there are fewer than two training videos.
        """
        members = self.checked(utterances)
        learnable = [utterance for utterance in members if self.part(utterance) == "train"]
        test = [utterance for utterance in members if self.part(utterance) == "test"]
        valid = held_out(learnable, conversation, VALID_SHARE, seed, "official")
        return [cut(self, "official", learnable, test, valid, conversation)]


SPEC = ProtocolSpec(
    name="mosi2",
    summary="CMU-MOSI, negative/positive, bc-LSTM split (62 / 31 videos, 1,447 / 752 utterances), 8 videos validate",
    corpus="cmu_mosi",
    options=Mosi2Options,
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
