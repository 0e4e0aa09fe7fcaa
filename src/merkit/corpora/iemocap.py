"""IEMOCAP, the full release: five sessions of two actors each, 151 conversations, 10,039 utterances.

Reads ``Session<n>/sentences/wav``, ``dialog/transcriptions`` and ``dialog/EmoEvaluation``; labels stay as shipped
(``exc`` is ``exc``, ``xxx`` is ``xxx``). A wav file holds one utterance, so that ``start_s`` and ``end_s`` are empty;
the times within the conversation are the attributes ``dialog_start_s`` and ``dialog_end_s``. The films in
``dialog/avi/DivX`` show a whole conversation and both actors side by side: ``video`` stays empty and the attribute
``dialog_video`` names the film. Forced alignments are named by the attributes ``alignment_word``, ``alignment_phone``
and ``alignment_syllable``. Paths in attributes are relative to the release.

Papers on conversations use labels of 7,433 utterances that differ from the release's. Where the option ``labels`` names
a file of such labels, they are the attribute ``shared_emotion``, which is empty where the file has none.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, RawCorpus
from merkit.core.errors import MerkitError
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._iemocap_files import ID, as_json, read_dialog, read_labels, read_ratings
from merkit.data.corpus.rows import counted_names

ALIGNMENTS = {"alignment_word": ".wdseg", "alignment_phone": ".phseg", "alignment_syllable": ".syseg"}


SHARED = "shared_emotion"
"""Attribute of the labels that ``labels`` names; the protocol ``iemocap6`` reads it where it is present."""


class IemocapOptions(CorpusOptions):
    """Labels besides those of the release."""

    labels: Path | None = None
    """A table with the columns ``id`` and ``emotion``, or the feature file (``.pkl``) that papers share."""


def read(raw: Path, options: IemocapOptions) -> RawCorpus:
    """Return the rated utterances by conversation and start time.

    ``raw`` is ``IEMOCAP_full_release`` or the folder that holds it. A release without any wav file is read as text.

    Raises:
        MerkitError: There is no session, a line of ratings or the file of labels cannot be read, the file names an
            utterance that the release lacks, or some of the wav files are missing.
    """
    utterances: list[Utterance] = []
    wavs: list[str] = []
    unread_lines = Counter(unrated=0, nameless=0)
    for session in _sessions(raw):
        for ratings_file in _visible(session / "dialog" / "EmoEvaluation", "*.txt"):
            utterances.extend(_conversation(raw, session, ratings_file, unread_lines))
        wavs += [path.stem for path in _visible(session / "sentences" / "wav", "*/*.wav")]
    silent = [utterance.id for utterance in utterances if utterance.audio is None]
    if 0 < len(silent) < len(utterances):
        names = counted_names(silent, "rated utterance")
        raise MerkitError(f"iemocap: {names} without a wav file in {raw}. Unpack the release again")
    if options.labels is not None:
        utterances = _with_shared_labels(utterances, options.labels)
    return RawCorpus(utterances, findings=_findings(utterances, wavs, unread_lines))


def _with_shared_labels(utterances: Sequence[Utterance], path: Path) -> list[Utterance]:
    labels = read_labels(path)
    if unknown := sorted(labels.keys() - {utterance.id for utterance in utterances}):
        raise MerkitError(f"{path}: {counted_names(unknown, 'id')} that the release lacks. Was every session unpacked?")
    return [replace(u, attributes={**u.attributes, SHARED: labels.get(u.id)}) for u in utterances]


def _findings(utterances: Sequence[Utterance], wavs: Sequence[str], unread_lines: Mapping[str, int]) -> list[Finding]:
    """Describe what is missing or left over in the release."""
    findings = []
    if all(utterance.audio is None for utterance in utterances):
        findings.append(Finding("warning", "no-audio", "there are no wav files; the utterances have text alone"))
    if without := tuple(utterance.id for utterance in utterances if utterance.text is None):
        message = f"{counted_names(without, 'rated utterance')} without a transcript"
        findings.append(Finding("warning", "missing-texts", message, without))
    rated = {utterance.id for utterance in utterances}
    if unrated := tuple(name for name in wavs if name not in rated):
        message = f"{counted_names(unrated, 'wav file')} without a rating, not read"
        findings.append(Finding("warning", "unrated-audio", message, unrated))
    if any(unread_lines.values()):
        message = (
            f"transcripts hold {unread_lines['unrated']} lines of turns that were not cut into utterances and "
            f"{unread_lines['nameless']} lines without an id; neither is read"
        )
        findings.append(Finding("info", "uncut-transcript-lines", message))
    return findings


def _sessions(raw: Path) -> list[Path]:
    for folder in (raw, raw / "IEMOCAP_full_release"):
        sessions = sorted(path for path in folder.glob("Session[1-5]") if (path / "dialog" / "EmoEvaluation").is_dir())
        if sessions:
            return sessions
    raise MerkitError(
        f"{raw}: no session found; expected Session1/dialog/EmoEvaluation and so on, as in IEMOCAP_full_release"
    )


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name[0] != ".")


def _conversation(raw: Path, session: Path, ratings_file: Path, unread_lines: Counter[str]) -> Iterator[Utterance]:
    ratings, unreadable = read_ratings(ratings_file)
    if unreadable:
        raise MerkitError(
            f"{ratings_file}: {len(unreadable)} lines cannot be read, first '{unreadable[0][:80]}'; expected "
            f"'[start - end] id label [valence, arousal, dominance]'. Unpack the release again"
        )
    name = ratings_file.stem
    transcript = session / "dialog" / "transcriptions" / f"{name}.txt"
    texts, unrated, nameless = read_dialog(transcript) if transcript.is_file() else ({}, 0, 0)
    unrated += len(texts.keys() - {rating.id for rating in ratings})
    unread_lines.update(unrated=unrated, nameless=nameless)
    aligned = session / "sentences" / "ForcedAlignment" / name
    film = _relative(raw, session / "dialog" / "avi" / "DivX" / f"{name}.avi")
    for turn, rating in enumerate(sorted(ratings, key=lambda rating: (rating.start_s, rating.end_s, rating.id))):
        known = ID.fullmatch(rating.id)
        assert known is not None
        yield Utterance(
            id=rating.id,
            conversation=name,
            turn=turn,
            speaker=f"Ses0{known['session']}{known['who']}",
            text=texts.get(rating.id),
            audio=_relative(raw, session / "sentences" / "wav" / name / f"{rating.id}.wav"),
            language="en",
            attributes={
                "emotion": rating.emotion,
                "valence": rating.valence,
                "arousal": rating.arousal,
                "dominance": rating.dominance,
                "votes": as_json(rating.votes),
                "self_votes": as_json(rating.self_votes),
                "session": known["session"],
                "script": known["script"],
                "dialog_type": "scripted" if known["script"].startswith("script") else "improvised",
                "gender": "female" if known["who"] == "F" else "male",
                "dialog_start_s": rating.start_s,
                "dialog_end_s": rating.end_s,
                "dialog_video": film,
                **{key: _relative(raw, aligned / f"{rating.id}{suffix}") for key, suffix in ALIGNMENTS.items()},
            },
        )


def _relative(raw: Path, path: Path) -> str | None:
    return path.relative_to(raw).as_posix() if path.is_file() else None


SPEC = CorpusSpec(
    name="iemocap",
    version=1,
    summary="IEMOCAP: 10,039 utterances, 151 conversations of two actors, 5 sessions, English",
    options=IemocapOptions,
    read=read,
    expected={"utterances": 10039, "conversations": 151},
    citation=Citation(
        url="https://doi.org/10.1007/s10579-008-9076-6",
        bibtex="""@article{busso2008iemocap,
  title   = {{IEMOCAP}: Interactive emotional dyadic motion capture database},
  author  = {Busso, Carlos and Bulut, Murtaza and Lee, Chi-Chun and Kazemzadeh, Abe and Mower, Emily and Kim, Samuel and
             Chang, Jeannette N. and Lee, Sungbok and Narayanan, Shrikanth S.},
  journal = {Language Resources and Evaluation},
  volume  = {42},
  number  = {4},
  pages   = {335--359},
  year    = {2008},
  doi     = {10.1007/s10579-008-9076-6}
}""",
    ),
    licence="by agreement with the University of Southern California (SAIL); research use, not to be passed on",
)
