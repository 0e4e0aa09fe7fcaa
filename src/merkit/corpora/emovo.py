"""EMOVO: six actors, fourteen Italian sentences, seven emotions, from the names of the files.

``f1/dis-f1-b1.wav`` says: disgust, actress f1, first of the short sentences. Nine of the sentences have a meaning, five
(``n1`` to ``n5``) none. Every clip is its own conversation; the text does not depend on the emotion.
"""

import re
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._clips import named_clips

EMOTIONS = {
    "dis": "disgust",
    "gio": "joy",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}
"""The codes are those of the Italian words: disgusto, gioia, neutro, paura, rabbia, sorpresa, tristezza."""
SENTENCES = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ... ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
}
"""Short (b), long (l), without meaning (n), questions (d)."""

_NAME = re.compile(rf"({'|'.join(EMOTIONS)})-([fm][1-3])-({'|'.join(SENTENCES)})")


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Return the clips below ``raw`` in the order of their names.

    Raises:
        MerkitError: The folder is missing or holds no such clip.
    """
    clips, findings = named_clips(raw, _NAME, "f1/dis-f1-b1.wav")
    utterances = []
    for stem, path in clips.items():
        emotion, actor, sentence = stem.split("-")
        utterances.append(
            Utterance(
                id=stem,
                conversation=stem,
                turn=0,
                speaker=actor,
                text=SENTENCES[sentence],
                audio=path.as_posix(),
                language="it",
                attributes={
                    "emotion": EMOTIONS[emotion],
                    "sentence": sentence,
                    "gender": "female" if actor[0] == "f" else "male",
                },
            )
        )
    return RawCorpus(utterances, findings=findings)


SPEC = CorpusSpec(
    name="emovo",
    version=1,
    summary="EMOVO: 588 acted clips, 6 actors, 14 sentences, 7 emotions, Italian",
    read=read,
    expected={"utterances": 588, "conversations": 588},
    citation=Citation(
        url="https://aclanthology.org/L14-1478/",
        bibtex="""@inproceedings{costantini2014emovo,
  title     = {{EMOVO} Corpus: an {Italian} Emotional Speech Database},
  author    = {Costantini, Giovanni and Iaderola, Iacopo and Paoloni, Andrea and Todisco, Massimiliano},
  booktitle = {Proceedings of the Ninth International Conference on Language Resources and Evaluation (LREC 2014)},
  pages     = {3501--3504},
  year      = {2014},
  url       = {https://aclanthology.org/L14-1478/}
}""",
    ),
    licence="free for research; cite Costantini et al. 2014",
)
