"""RAVDESS, speech: 24 actors, two statements, eight emotions, from the names of the files.

``03-01-06-01-02-01-12.wav`` says: audio only, speech, fearful, normal intensity, second statement, first repetition,
actor 12. Song (second number 02) is another corpus and is not read. Where the full recordings (``01-01-….mp4``) were
unpacked as well, they are the ``video`` of their clip. Every clip is its own conversation; ``speaker`` is ``01`` to
``24``.
"""

import re
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._clips import named_clips, paths_by_stem

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}

_NAME = re.compile(r"03-01-0[1-8]-0[12]-0[12]-0[12]-(0[1-9]|1[0-9]|2[0-4])")
_EXAMPLE = "Actor_12/03-01-06-01-02-01-12.wav"


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Return the speech clips below ``raw`` in the order of their names.

    Raises:
        MerkitError: The folder is missing or holds no such clip.
    """
    clips, findings = named_clips(raw, _NAME, _EXAMPLE)
    videos = paths_by_stem(raw, "01-01-*.mp4")
    utterances = []
    for stem, path in clips.items():
        _, _, emotion, intensity, statement, repetition, actor = stem.split("-")
        utterances.append(
            Utterance(
                id=stem,
                conversation=stem,
                turn=0,
                speaker=actor,
                text=STATEMENTS[statement],
                audio=path.as_posix(),
                video=videos.get("01" + stem[2:]),
                language="en",
                attributes={
                    "emotion": EMOTIONS[emotion],
                    "intensity": INTENSITIES[intensity],
                    "statement": statement,
                    "repetition": repetition,
                    "gender": "male" if int(actor) % 2 else "female",
                },
            )
        )
    return RawCorpus(utterances, findings=findings)


SPEC = CorpusSpec(
    name="ravdess",
    version=1,
    summary="RAVDESS speech: 1,440 acted clips, 24 actors, 8 emotions, English",
    read=read,
    expected={"utterances": 1440, "conversations": 1440},
    citation=Citation(
        url="https://doi.org/10.1371/journal.pone.0196391",
        bibtex="""@article{livingstone2018ravdess,
  title   = {The {R}yerson Audio-Visual Database of Emotional Speech and Song ({RAVDESS}): A dynamic, multimodal set of
             facial and vocal expressions in {N}orth {A}merican {E}nglish},
  author  = {Livingstone, Steven R. and Russo, Frank A.},
  journal = {PLoS ONE},
  volume  = {13},
  number  = {5},
  pages   = {e0196391},
  year    = {2018},
  doi     = {10.1371/journal.pone.0196391}
}""",
    ),
    licence="CC BY-NC-SA 4.0",
)
