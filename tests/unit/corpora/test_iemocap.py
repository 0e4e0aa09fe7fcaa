import json
import pickle
from pathlib import Path

import pytest
from tests.miniature import IEMOCAP_DIALOGS, write_iemocap

from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.core.types import Conversation
from merkit.corpora._iemocap_files import read_dialog, read_ratings
from merkit.corpora.iemocap import SPEC, IemocapOptions, read


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iemocap")
    write_iemocap(folder)
    return folder


def small(folder: Path) -> Path:
    """One dialog per session and side, for tests that break something."""
    write_iemocap(folder, turns=2, dialogs=("impro01",))
    return folder


def test_every_rated_utterance_is_read_in_order_of_time(release: Path) -> None:
    corpus = read(release, IemocapOptions())

    assert len(corpus.utterances) == 5 * 2 * len(IEMOCAP_DIALOGS) * 6
    by_conversation: dict[str, list] = {}
    for utterance in corpus.utterances:
        by_conversation.setdefault(utterance.conversation, []).append(utterance)
    assert len(by_conversation) == 5 * 2 * len(IEMOCAP_DIALOGS)
    for name, group in by_conversation.items():
        Conversation(name, tuple(group))
        starts = [utterance.attributes["dialog_start_s"] for utterance in group]
        assert starts == sorted(starts)


def test_an_utterance_carries_what_the_release_says(release: Path) -> None:
    corpus = read(release, IemocapOptions())

    (utterance,) = [u for u in corpus.utterances if u.id == "Ses03M_script01_1_F001"]

    assert utterance.conversation == "Ses03M_script01_1"
    assert (utterance.turn, utterance.speaker, utterance.language) == (2, "Ses03F", "en")
    assert utterance.audio == "Session3/sentences/wav/Ses03M_script01_1/Ses03M_script01_1_F001.wav"
    assert (release / utterance.audio).is_file()
    assert utterance.text == "The kettle boils and nobody."
    assert (utterance.start_s, utterance.end_s, utterance.video) == (None, None, None)
    assert {name: value for name, value in utterance.attributes.items() if "votes" not in name} == {
        "emotion": "ang",
        "valence": 2.0,
        "arousal": 2.5,
        "dominance": 3.0,
        "session": "3",
        "script": "script01",
        "dialog_type": "scripted",
        "gender": "female",
        "dialog_start_s": 3.25,
        "dialog_end_s": 4.5,
        "dialog_video": None,
        "alignment_word": "Session3/sentences/ForcedAlignment/Ses03M_script01_1/Ses03M_script01_1_F001.wdseg",
        "alignment_phone": "Session3/sentences/ForcedAlignment/Ses03M_script01_1/Ses03M_script01_1_F001.phseg",
        "alignment_syllable": "Session3/sentences/ForcedAlignment/Ses03M_script01_1/Ses03M_script01_1_F001.syseg",
    }
    assert json.loads(str(utterance.attributes["votes"])) == {"Anger": 2, "Neutral": 2}
    assert json.loads(str(utterance.attributes["self_votes"])) == {"Surprise": 1}


def test_lines_of_no_utterance_are_counted(release: Path) -> None:
    (finding,) = read(release, IemocapOptions()).findings

    assert (finding.level, finding.code) == ("info", "uncut-transcript-lines")
    assert "40 lines of turns that were not cut into utterances and 40 lines without an id" in finding.message


def test_the_folder_above_the_release_will_do_and_a_film_is_named(tmp_path: Path) -> None:
    small(tmp_path / "IEMOCAP_full_release")
    film = tmp_path / "IEMOCAP_full_release/Session2/dialog/avi/DivX/Ses02F_impro01.avi"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")

    corpus = read(tmp_path, IemocapOptions())

    films = {u.conversation: u.attributes["dialog_video"] for u in corpus.utterances if u.attributes["dialog_video"]}
    assert films == {"Ses02F_impro01": "IEMOCAP_full_release/Session2/dialog/avi/DivX/Ses02F_impro01.avi"}
    assert all((tmp_path / str(u.audio)).is_file() for u in corpus.utterances)


def test_missing_transcripts_and_unrated_recordings_are_found(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "Session2/dialog/transcriptions/Ses02M_impro01.txt").unlink()
    stray = tmp_path / "Session3/sentences/wav/Ses03F_impro01/Ses03F_impro01_F099.wav"
    stray.write_bytes((stray.parent / "Ses03F_impro01_F000.wav").read_bytes())

    corpus = read(tmp_path, IemocapOptions())

    assert len(corpus.utterances) == 20
    found = {finding.code: finding.ids for finding in corpus.findings}
    assert found["missing-texts"] == ("Ses02M_impro01_F000", "Ses02M_impro01_M000")
    assert found["unrated-audio"] == ("Ses03F_impro01_F099",)
    assert [u.conversation for u in corpus.utterances if u.text is None] == ["Ses02M_impro01"] * 2


def test_a_missing_recording_is_an_error(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()

    with pytest.raises(MerkitError, match=r"1 rated utterance \(Ses01F_impro01_M000\) without a wav file"):
        read(tmp_path, IemocapOptions())


def test_a_release_without_any_recording_is_read_as_text(tmp_path: Path) -> None:
    small(tmp_path)
    for path in tmp_path.rglob("*.wav"):
        path.unlink()

    corpus = read(tmp_path, IemocapOptions())

    assert {u.audio for u in corpus.utterances} == {None}
    assert "no-audio" in {finding.code for finding in corpus.findings}


def test_no_session_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match="no session found; expected Session1/dialog/EmoEvaluation"):
        read(tmp_path, IemocapOptions())


def test_a_rating_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    small(tmp_path)
    path = tmp_path / "Session4/dialog/EmoEvaluation/Ses04F_impro01.txt"
    path.write_text(path.read_text(encoding="utf-8").replace(", 3.0000]", ""), encoding="utf-8")

    with pytest.raises(MerkitError, match=r"Ses04F_impro01\.txt: 2 lines cannot be read, first '\[1\.75"):
        read(tmp_path, IemocapOptions())


@pytest.mark.parametrize(
    "name",
    ["Ses01F_impro01_F000", "Ses02M_script01_1_M012", "Ses05M_script01_1b_F003", "Ses03M_impro05a_M001"],
)
def test_all_forms_of_ids_are_known(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ratings.txt"
    path.write_text(f"[6.2901 - 8.2357]\t{name}\tneu\t[2.5000, 2.5000, 2.5000]\n", encoding="utf-8")

    ratings, unreadable = read_ratings(path)

    assert ([rating.id for rating in ratings], unreadable) == ([name], [])


def test_a_rating_of_a_foreign_id_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ratings.txt"
    path.write_text("[6.29 - 8.23]\tSes09F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n", encoding="utf-8")

    ratings, unreadable = read_ratings(path)

    assert (ratings, len(unreadable)) == ([], 1)


def test_a_transcript_in_windows_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "transcript.txt"
    path.write_bytes(
        b"Ses01F_impro01_F000 [006.2901-008.2357]: It\x92s here: now.\n\nM: No.\nSes01F_impro01_FXX1 [0-1]: A.\n"
    )

    texts, unrated, nameless = read_dialog(path)

    assert (texts, unrated, nameless) == ({"Ses01F_impro01_F000": "It’s here: now."}, 1, 1)


@pytest.mark.parametrize(
    ("name", "folds"),
    [("iemocap4-session", 5), ("iemocap4-speaker", 10), ("iemocap4-scriptfree", 20), ("iemocap6-release", 1)],
)
def test_the_protocols_read_what_the_adapter_writes(release: Path, name: str, folds: int) -> None:
    spec = load("protocols", name)

    made = spec.build(spec.options(), True).folds(read(release, IemocapOptions()).utterances, 0)

    assert spec.corpus == SPEC.name
    assert len(made) == folds


def test_published_counts_are_expected() -> None:
    assert SPEC.expected == {"utterances": 10039, "conversations": 151}


def first_ids(release: Path, number: int) -> list[str]:
    return [utterance.id for utterance in read(release, IemocapOptions()).utterances[:number]]


def label_table(folder: Path, rows: list[str]) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join(["id,emotion", *rows]) + "\n", encoding="utf-8")
    return path


def test_labels_of_a_table_stand_beside_those_of_the_release(release: Path, tmp_path: Path) -> None:
    first, _, third = first_ids(release, 3)
    path = label_table(tmp_path, [f"{first},hap", f"{third},fru"])

    utterances = read(release, IemocapOptions(labels=path)).utterances

    assert [u.attributes["shared_emotion"] for u in utterances[:4]] == ["hap", None, "fru", None]
    assert [u.attributes["emotion"] for u in utterances] == [
        u.attributes["emotion"] for u in read(release, IemocapOptions()).utterances
    ]


def test_labels_of_a_shared_feature_file_are_class_numbers_by_conversation(release: Path, tmp_path: Path) -> None:
    first, second, *_ = first_ids(release, 2)
    conversation = first.rsplit("_", 1)[0]
    path = tmp_path / "IEMOCAP_features.pkl"
    path.write_bytes(
        pickle.dumps(({conversation: [first, second]}, {conversation: ["F", "M"]}, {conversation: [4, 1]}))
    )

    utterances = read(release, IemocapOptions(labels=path)).utterances

    assert [u.attributes["shared_emotion"] for u in utterances[:3]] == ["exc", "sad", None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{0},hap", "{0},sad"], "occurs twice"),
        (["{0},joy"], "has label 'joy', expected hap, sad, neu, ang, exc, fru"),
        (["Ses01F_impro09_F000,hap"], "1 id .Ses01F_impro09_F000. that the release lacks"),
    ],
)
def test_wrong_labels_are_named(release: Path, tmp_path: Path, rows: list[str], message: str) -> None:
    path = label_table(tmp_path, [row.format(*first_ids(release, 1)) for row in rows])

    with pytest.raises(MerkitError, match=f"labels.csv: .*{message}"):
        read(release, IemocapOptions(labels=path))


@pytest.mark.parametrize(
    "content",
    [
        [1, 2, 3],
        "words",
        ({"a": ["x"]},),
        ({"a": ["x"]}, {}, {"a": [6]}),
        ({"a": ["x"]}, {}, {"a": [-1]}),
        ({"a": ["x"]}, {}, {"a": [1, 2]}),
    ],
)
def test_a_pickle_of_another_layout_is_named(release: Path, tmp_path: Path, content: object) -> None:
    path = tmp_path / "features.pkl"
    path.write_bytes(pickle.dumps(content))

    with pytest.raises(MerkitError, match=r"features\.pkl: expected a tuple that begins with utterance ids"):
        read(release, IemocapOptions(labels=path))


def test_shared_labels_are_what_iemocap6_reads_and_iemocap6_release_does_not(release: Path, tmp_path: Path) -> None:
    (first,) = first_ids(release, 1)
    utterances = read(release, IemocapOptions(labels=label_table(tmp_path, [f"{first},exc"]))).utterances
    shared, released = (load("protocols", name) for name in ("iemocap6", "iemocap6-release"))

    members = shared.build(shared.options(), True).members(utterances)
    others = released.build(released.options(), True).members(utterances)

    assert [utterance.id for utterance in members] == [first]
    assert len(others) > 1
