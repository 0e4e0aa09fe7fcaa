"""CREMA-D: 91 actors speak twelve sentences in six emotions, from the names of the files.

``AudioWAV/1001_DFA_ANG_XX.wav`` says: actor 1001, sentence DFA, meant as anger, intensity not specified. The emotion is
the one that the actor intended, not what listeners heard. Where ``VideoFlash/*.flv`` was unpacked it is the ``video``
of its clip, and ``VideoDemographics.csv`` gives age, gender, race and ethnicity of the actors. Every clip is its own
conversation; ``speaker`` is the actor's number.
"""

import re
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, RawCorpus
from merkit.core.model import Citation
from merkit.core.types import Scalar, Utterance
from merkit.corpora._clips import named_clips, paths_by_stem
from merkit.corpora._rows import checked_reader

SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
"""The codes of the release's README."""

_NAME = re.compile(rf"1[0-9]{{3}}_({'|'.join(SENTENCES)})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")
_DEMOGRAPHICS = {"Age": "age", "Sex": "gender", "Race": "race", "Ethnicity": "ethnicity"}


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Return the clips below ``raw`` in the order of their names.

    Raises:
        MerkitError: The folder is missing or holds no such clip, or the demographics lack a column.
    """
    clips, findings = named_clips(raw, _NAME, "AudioWAV/1001_DFA_ANG_XX.wav")
    videos = paths_by_stem(raw, "*.flv")
    actors = _demographics(raw)
    utterances = []
    for stem, path in clips.items():
        actor, sentence, emotion, intensity = stem.split("_")
        utterances.append(
            Utterance(
                id=stem,
                conversation=stem,
                turn=0,
                speaker=actor,
                text=SENTENCES[sentence],
                audio=path.as_posix(),
                video=videos.get(stem),
                language="en",
                attributes={
                    "emotion": emotion,
                    "intensity": "XX" if intensity == "X" else intensity,
                    "sentence": sentence,
                    **actors.get(actor, {}),
                },
            )
        )
    if bad := tuple(stem for stem in clips if stem.startswith("1076_MTI_")):
        message = "the recordings of actor 1076, sentence MTI, are known to be bad (1076_MTI_SAD_XX is without sound)"
        findings.append(Finding("warning", "known-bad-clips", message, bad))
    if short := tuple(stem for stem in clips if stem.endswith("_X")):
        findings.append(Finding("info", "mended-names", "intensity 'X' in the name is read as 'XX'", short))
    return RawCorpus(utterances, findings=findings)


def _demographics(raw: Path) -> dict[str, dict[str, Scalar]]:
    found = sorted(raw.rglob("VideoDemographics.csv"))
    if not found:
        return {}
    actors: dict[str, dict[str, Scalar]] = {}
    text = found[0].read_bytes().decode("utf-8-sig")
    for row in checked_reader(found[0], text, ("ActorID", *sorted(_DEMOGRAPHICS))):
        attributes = {name: row[column].strip() for column, name in _DEMOGRAPHICS.items()}
        actors[row["ActorID"].strip()] = {**attributes, "gender": attributes["gender"].lower()}
    return actors


SPEC = CorpusSpec(
    name="crema_d",
    version=1,
    summary="CREMA-D: 7,442 acted clips, 91 actors, 12 sentences, 6 emotions, English",
    read=read,
    expected={"utterances": 7442, "conversations": 7442},
    citation=Citation(
        url="https://doi.org/10.1109/TAFFC.2014.2336244",
        bibtex="""@article{cao2014cremad,
  title   = {{CREMA-D}: Crowd-Sourced Emotional Multimodal Actors Dataset},
  author  = {Cao, Houwei and Cooper, David G. and Keutmann, Michael K. and Gur, Ruben C. and Nenkova, Ani and
             Verma, Ragini},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {5},
  number  = {4},
  pages   = {377--390},
  year    = {2014},
  doi     = {10.1109/TAFFC.2014.2336244}
}""",
    ),
    licence="Open Database License 1.0",
)
