"""IEMOCAP, six emotions, session 5 is the test split: the protocol of papers on conversations, 7,433 utterances.

The counts are those of the feature files that such papers share (``IEMOCAP_features.pkl`` of DialogueRNN's release and
its descendants): happy 648. The majority labels of the release have happy 595, 7,380 in all; why the files label 53
utterances more is not published, and their ids are in the files alone. `merkit prepare iemocap --set labels=FILE`
reads them. Labels of the release itself belong to ``iemocap6-release``. Validation: 12 of the 120 training
conversations, drawn by the run's seed.
"""

from typing import ClassVar

from merkit.core.model import Citation
from merkit.core.protocol import Label, ProtocolSpec
from merkit.core.types import Utterance
from merkit.protocols._iemocap import SIX
from merkit.protocols._iemocap import Iemocap6 as SixClasses
from merkit.protocols._labels import Counts


class Iemocap6(SixClasses):
    """Counts of the shared feature files."""

    name = "iemocap6"
    expected: ClassVar[Counts] = {
        "train": {"conversations": 120, **dict(zip(SIX, (504, 839, 1324, 933, 742, 1468), strict=True))},
        "test": {"conversations": 31, **dict(zip(SIX, (144, 245, 384, 170, 299, 381), strict=True))},
    }
    source: ClassVar[str] = "the shared feature files with 7,433 utterances"
    hint: ClassVar[str] = (
        "Labels of the release itself (happy 595) belong to 'iemocap6-release'; those of the shared files are read by "
        "`merkit prepare iemocap --set labels=FILE`."
    )

    def label(self, utterance: Utterance) -> Label | None:
        """Return the class by the shared file, if the corpus was prepared with one, else by the release."""
        if "shared_emotion" not in utterance.attributes:
            return super().label(utterance)
        shared = utterance.attributes["shared_emotion"]
        return None if shared is None else self.classes[str(shared)]


SPEC = ProtocolSpec(
    name="iemocap6",
    summary="IEMOCAP, 6 emotions, session 5 tests (31 of 151 conversations, 7,433 utterances, happy 648)",
    corpus="iemocap",
    build=Iemocap6,
    citation=Citation(
        url="https://doi.org/10.1609/aaai.v33i01.33016818",
        bibtex="""@inproceedings{majumder2019dialoguernn,
  title     = {{DialogueRNN}: An Attentive {RNN} for Emotion Detection in Conversations},
  author    = {Majumder, Navonil and Poria, Soujanya and Hazarika, Devamanyu and Mihalcea, Rada and Gelbukh, Alexander
                   and Cambria, Erik},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {33},
  pages     = {6818--6825},
  year      = {2019},
  doi       = {10.1609/aaai.v33i01.33016818}
}""",
    ),
)
