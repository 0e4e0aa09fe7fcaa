"""EMO-DB (Berlin Database of Emotional Speech): ten speakers, ten German sentences, from the names of the files.

``wav/16b10Wd.wav`` says: speaker 16, sentence b10, anger (German *Wut*), fourth version. Every clip is its own
conversation; ``speaker`` is ``03`` to ``16``. The text does not depend on the emotion.
"""

import re
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._clips import named_clips

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""The letters are those of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral."""
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
"""By speaker."""

_NAME = re.compile(rf"({'|'.join(GENDERS)})({'|'.join(SENTENCES)})([{''.join(EMOTIONS)}])([a-f])")


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Return the clips below ``raw`` in the order of their names.

    Raises:
        MerkitError: The folder is missing or holds no such clip.
    """
    clips, findings = named_clips(raw, _NAME, "wav/16b10Wd.wav")
    utterances = []
    for stem, path in clips.items():
        speaker, sentence, letter, version = stem[:2], stem[2:5], stem[5], stem[6]
        utterances.append(
            Utterance(
                id=stem,
                conversation=stem,
                turn=0,
                speaker=speaker,
                text=SENTENCES[sentence],
                audio=path.as_posix(),
                language="de",
                attributes={
                    "emotion": EMOTIONS[letter],
                    "sentence": sentence,
                    "version": version,
                    "gender": GENDERS[speaker],
                },
            )
        )
    return RawCorpus(utterances, findings=findings)


SPEC = CorpusSpec(
    name="emodb",
    version=1,
    summary="EMO-DB: 535 acted clips, 10 speakers, 10 sentences, 7 emotions, German",
    read=read,
    expected={"utterances": 535, "conversations": 535},
    citation=Citation(
        url="https://doi.org/10.21437/Interspeech.2005-446",
        bibtex="""@inproceedings{burkhardt2005emodb,
  title     = {A Database of {German} Emotional Speech},
  author    = {Burkhardt, Felix and Paeschke, Astrid and Rolfes, Miriam and Sendlmeier, Walter F. and Weiss, Benjamin},
  booktitle = {Proceedings of Interspeech 2005},
  pages     = {1517--1520},
  year      = {2005},
  doi       = {10.21437/Interspeech.2005-446}
}""",
    ),
    licence="free for research; cite Burkhardt et al. 2005",
)
