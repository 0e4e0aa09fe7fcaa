"""What the protocols of RAVDESS share: leave actors out, in the five folds of Luna-Jiménez et al. 2021.

Both statements are spoken in every emotion, so that the text does not depend on the emotion. Validation: a fifth of the
training actors (4 of 19), drawn by the run's seed; the paper had none.
"""

from collections.abc import Sequence
from typing import ClassVar

from merkit.core.model import Citation
from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.protocols._folds import leave_out, speaker
from merkit.protocols._labels import MappedProtocol

ACTORS = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)
"""Test actors of each fold, as printed in the paper."""
VALID_SHARE = 0.2
FOLDS_OF = Citation(
    url="https://doi.org/10.3390/s21227665",
    bibtex="""@article{lunajimenez2021ravdess,
  title   = {Multimodal Emotion Recognition on {RAVDESS} Dataset Using Transfer Learning},
  author  = {Luna-Jim{\\'e}nez, Cristina and Griol, David and Callejas, Zoraida and Kleinlein, Ricardo and Montero,
             Juan M. and Fern{\\'a}ndez-Mart{\\'i}nez, Fernando},
  journal = {Sensors},
  volume  = {21},
  number  = {22},
  pages   = {7665},
  year    = {2021},
  doi     = {10.3390/s21227665}
}""",
)


class Ravdess(MappedProtocol):
    """Five folds, ``1`` to ``5``; each clip is its own conversation, so the bootstrap draws speakers."""

    cluster = "speaker"
    attribute = "emotion"
    source: ClassVar[str] = "Livingstone and Russo 2018 (1,440 speech clips)"

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the five folds, without those whose actors a partial corpus lacks."""
        members = self.checked(utterances)
        number = {f"{actor:02d}": fold for fold, actors in enumerate(ACTORS, start=1) for actor in actors}
        present = sorted({number[u.speaker] for u in members if u.speaker in number})
        return leave_out(self, members, lambda u: number.get(u.speaker, 0), speaker, VALID_SHARE, seed, present)
