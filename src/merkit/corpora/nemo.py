"""nEMO (Christop 2024): acted Polish speech, nine speakers, six emotions, every sentence in every emotion.

Reads ``data.tsv`` and ``samples/``. The text does not depend on the emotion. Each clip is its own conversation.
"""

import csv
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, RawCorpus
from merkit.core.errors import ManifestError
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._rows import checked_reader
from merkit.data.corpus.rows import counted_names

_FIELDS = ("file_id", "emotion", "raw_text", "normalized_text", "speaker_id", "gender", "age")


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Read the table; its order is kept.

    Raises:
        ManifestError: The table is missing or malformed, or names a clip that is missing.
    """
    table = raw / "data.tsv"
    if not table.is_file():
        raise ManifestError(f"nemo: no data.tsv in {raw}; give the folder that holds data.tsv and samples/")
    text = table.read_bytes().decode("utf-8-sig")
    reader = checked_reader(table, text, _FIELDS, delimiter="\t", quoting=csv.QUOTE_NONE)
    utterances = [_utterance(table, number, row) for number, row in enumerate(reader, start=2)]
    named = {str(utterance.audio) for utterance in utterances}
    if missing := [name for name in sorted(named) if not (raw / name).is_file()]:
        raise ManifestError(f"nemo: {counted_names(missing, 'clip')} named by data.tsv not found in {raw}")
    surplus = sorted({f"samples/{path.name}" for path in (raw / "samples").glob("*.flac")} - named)
    findings = []
    if surplus:
        message = f"{counted_names(surplus, 'clip')} in samples/ without a row in data.tsv, left out"
        findings.append(Finding("warning", "clips-without-row", message))
    return RawCorpus(utterances, findings=findings)


def _utterance(table: Path, number: int, row: dict[str, str | None]) -> Utterance:
    cells = {field: (row[field] or "").strip() for field in _FIELDS}
    if None in row or (empty := [field for field in _FIELDS if not cells[field]]):
        wrong = "more cells than columns" if None in row else f"no {empty[0]}"
        raise ManifestError(f"{table}: line {number} has {wrong}; is the file complete?")
    if not cells["age"].isdecimal():
        raise ManifestError(f"{table}: line {number}: age is '{cells['age']}', expected a whole number")
    identity = cells["file_id"].removesuffix(".flac")
    return Utterance(
        id=identity,
        conversation=identity,
        turn=0,
        speaker=cells["speaker_id"],
        text=cells["raw_text"],
        audio=f"samples/{cells['file_id']}",
        language="pl",
        attributes={
            "emotion": cells["emotion"],
            "gender": cells["gender"],
            "age": int(cells["age"]),
            "sentence": identity.rsplit("_", 1)[-1],
            "normalized_text": cells["normalized_text"],
        },
    )


SPEC = CorpusSpec(
    name="nemo",
    version=1,
    summary="nEMO: acted Polish speech, nine speakers, six emotions, every sentence in every emotion",
    read=read,
    expected={"utterances": 4481},
    citation=Citation(
        url="https://arxiv.org/abs/2404.06292",
        bibtex="""@inproceedings{christop2024nemo,
  title     = {{nEMO}: Dataset of Emotional Speech in {Polish}},
  author    = {Christop, Iwona},
  booktitle = {Proceedings of LREC-COLING 2024},
  year      = {2024},
  url       = {https://arxiv.org/abs/2404.06292}
}""",
    ),
    licence="CC BY-NC-SA 4.0",
)
