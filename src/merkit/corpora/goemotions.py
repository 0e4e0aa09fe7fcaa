"""GoEmotions (Demszky et al. 2020): English Reddit comments, 27 emotions and neutral, one label or more each.

Reads the filtered release: ``train.tsv``, ``dev.tsv`` and ``test.tsv`` (text, comma-separated numbers of labels and the
comment's id, without a header) and the names of the labels in order, ``labels.txt`` or ``emotions.txt``. The files name
neither authors nor threads, so that each comment is its own conversation and of no known speaker. Names and religions
are masked in the texts as shipped: ``[NAME]``, ``[RELIGION]``.
"""

from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.errors import ManifestError
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.data.corpus.checks import check_repeated_texts

SEPARATOR = ";"
"""Between the names in the attribute ``emotions``, as the protocols read them."""

_SPLITS = ("train", "dev", "test")
_NAMES = ("labels.txt", "emotions.txt")


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Read the three files in their order.

    Raises:
        ManifestError: A file is missing, or a line is not text, numbers of labels and id.
    """
    names = _names(raw)
    utterances = [utterance for split in _SPLITS for utterance in _split(raw, split, names)]
    return RawCorpus(utterances, findings=check_repeated_texts(utterances))


def _names(raw: Path) -> list[str]:
    path = next((raw / name for name in _NAMES if (raw / name).is_file()), None)
    if path is None:
        raise ManifestError(f"goemotions: no {' or '.join(_NAMES)} in {raw}; give the folder that holds it and *.tsv")
    names = [line.strip() for line in _text(path).split("\n") if line.strip()]
    if len(names) < 2 or len(set(names)) < len(names) or any(SEPARATOR in name for name in names):
        raise ManifestError(f"{path}: {len(names)} lines found, expected different names of labels, one a line")
    return names


def _split(raw: Path, split: str, names: list[str]) -> list[Utterance]:
    path = raw / f"{split}.tsv"
    if not path.is_file():
        raise ManifestError(f"goemotions: no {split}.tsv in {raw}; give the folder that holds the three *.tsv")
    lines = _text(path).removesuffix("\n").split("\n")
    return [_utterance(path, number, split, line.removesuffix("\r"), names) for number, line in enumerate(lines, 1)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 (byte {error.start}); take the file of the release") from error


def _utterance(path: Path, number: int, split: str, line: str, names: list[str]) -> Utterance:
    cells = line.split("\t")
    if len(cells) != 3 or not cells[2]:
        raise ManifestError(
            f"{path}: line {number} has {len(cells)} cells, expected text, numbers of labels and id; is the file "
            "complete?"
        )
    text, numbers, identity = cells
    found = numbers.split(",")
    for label in found:
        if not (label.isascii() and label.isdecimal() and int(label) < len(names)):
            what = f"the label '{label}'" if label else "no label"
            raise ManifestError(
                f"{path}: line {number} ('{identity}') has {what}, expected numbers from 0 to {len(names) - 1}, "
                "separated by commas"
            )
    return Utterance(
        id=identity,
        conversation=identity,
        turn=0,
        speaker="",
        text=text,
        language="en",
        attributes={"emotions": SEPARATOR.join(names[int(label)] for label in found), "split": split},
    )


def _write_example(raw: Path) -> None:
    names = ("admiration", "joy", "neutral")
    (raw / "labels.txt").write_text("\n".join(names) + "\n")
    for number, split in enumerate(_SPLITS):
        (raw / f"{split}.tsv").write_text(f"What a day!\t0,1\ta{number}\nIt is Monday.\t2\tb{number}\n")


SPEC = CorpusSpec(
    name="goemotions",
    version=1,
    summary="GoEmotions: 54,263 English Reddit comments, 27 emotions and neutral, several labels each",
    read=read,
    expected={
        "utterances": 54263,
        "conversations": 54263,
        "train": 43410,
        "dev": 5426,
        "test": 5427,
    },
    citation=Citation(
        url="https://aclanthology.org/2020.acl-main.372/",
        bibtex="""@inproceedings{demszky2020goemotions,
  title     = {{GoEmotions}: A Dataset of Fine-Grained Emotions},
  author    = {Demszky, Dorottya and Movshovitz-Attias, Dana and Ko, Jeongwoo and Cowen, Alan and Nemade, Gaurav
               and Ravi, Sujith},
  booktitle = {Proceedings of ACL 2020},
  pages     = {4040--4054},
  year      = {2020},
  url       = {https://aclanthology.org/2020.acl-main.372/}
}""",
    ),
    licence="CC BY 4.0",
    example=_write_example,
)
