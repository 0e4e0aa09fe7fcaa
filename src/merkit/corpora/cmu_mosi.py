"""CMU-MOSI (Zadeh et al. 2016) as published with bc-LSTM (Poria et al. 2017): opinions in video monologues.

Read from ``mosi_3modal.npz`` (in the root or in ``mosi``), which holds transcripts, two-class labels and one vector per
utterance and modality: the features ``text``, ``audio`` and ``video``. The clips are not in it. Segments
of a video count from 1 there, turns from 0 here. The file does not name speakers, so they are unknown.
"""

from pathlib import Path

from merkit.core.arrays import Array
from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, PublishedFeatures, RawCorpus
from merkit.core.errors import ManifestError
from merkit.core.model import Citation
from merkit.core.types import MODALITIES, Utterance
from merkit.corpora._rows import in_turns
from merkit.formats.npz import read_npz

_FILE = "mosi_3modal.npz"
_SPLITS = ("train", "test")
_FIELDS = ("id", "video", "seg", "transcript", "label", *(f"feat_{modality}" for modality in MODALITIES))
_SENTIMENTS = ("negative", "positive")
"""What the labels 0 and 1 mean."""


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Read the file with its three modalities.

    Raises:
        ManifestError: The file is missing or lacks an array.
        MerkitError: The file cannot be read.
    """
    path = next((path for path in (raw / _FILE, raw / "mosi" / _FILE) if path.is_file()), None)
    if path is None:
        raise ManifestError(f"cmu_mosi: no {_FILE} in {raw} or {raw / 'mosi'}")
    arrays = read_npz(path)
    _check(path, arrays)
    utterances: list[Utterance] = []
    features: dict[str, dict[str, Array]] = {modality: {} for modality in MODALITIES}
    for split in _SPLITS:
        fields = {field: arrays[f"{split}_{field}"].tolist() for field in _FIELDS if not field.startswith("feat_")}
        segments = [int(segment) for segment in fields["seg"]]
        for turn, row in in_turns(range(len(segments)), fields["video"].__getitem__, segments.__getitem__):
            utterance = Utterance(
                id=fields["id"][row],
                conversation=fields["video"][row],
                turn=turn,
                speaker="",
                text=fields["transcript"][row],
                language="en",
                attributes={
                    "sentiment": _SENTIMENTS[fields["label"][row]],
                    "split": split,
                    "segment": fields["seg"][row],
                },
            )
            utterances.append(utterance)
            for modality in MODALITIES:
                features[modality][utterance.id] = arrays[f"{split}_feat_{modality}"][row : row + 1]
    return RawCorpus(
        utterances,
        [PublishedFeatures(modality, modality, features[modality]) for modality in MODALITIES],
        [
            Finding(
                "warning",
                "task-trained-features",
                "the features 'text' and 'video' come from networks trained for this task on its training split: they"
                " are stronger there, and scores with them are not comparable to those of other features",
            )
        ],
    )


def _check(path: Path, arrays: dict[str, Array]) -> None:
    missing = [f"{split}_{field}" for split in _SPLITS for field in _FIELDS if f"{split}_{field}" not in arrays]
    if missing:
        raise ManifestError(f"{path}: no array {', '.join(missing)}, found {', '.join(sorted(arrays))}")
    for split in _SPLITS:
        lengths = {field: len(arrays[f"{split}_{field}"]) for field in _FIELDS}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{split}_{field} {length}" for field, length in lengths.items())
            raise ManifestError(f"{path}: arrays of different lengths: {listed}")
        strange = set(arrays[f"{split}_label"].tolist()) - {0, 1}
        if strange:
            raise ManifestError(f"{path}: {split}_label holds {sorted(strange)}, expected 0 and 1")


SPEC = CorpusSpec(
    name="cmu_mosi",
    version=1,
    summary="CMU-MOSI: opinions in video monologues, negative or positive, with the features of bc-LSTM",
    read=read,
    expected={
        "utterances": 2199,
        "conversations": 93,
        "train": 1447,
        "train.conversations": 62,
        "test": 752,
        "test.conversations": 31,
    },
    citation=Citation(
        url="https://doi.org/10.1109/MIS.2016.94",
        bibtex="""@article{zadeh2016mosi,
  title   = {Multimodal Sentiment Intensity Analysis in Videos: Facial Gestures and Verbal Messages},
  author  = {Zadeh, Amir and Zellers, Rowan and Pincus, Eli and Morency, Louis-Philippe},
  journal = {IEEE Intelligent Systems},
  volume  = {31},
  number  = {6},
  pages   = {82--88},
  year    = {2016},
  doi     = {10.1109/MIS.2016.94}
}""",
    ),
    licence="research use",
)
