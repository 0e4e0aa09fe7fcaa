"""CREMA-D, RAVDESS, EMO-DB and EMOVO: corpora that are read from the names of their files."""

from pathlib import Path

import pytest
from tests.miniature import write_crema_d, write_emodb, write_emovo, write_ravdess, write_tone

from merkit.core.corpus import CorpusOptions
from merkit.core.errors import MerkitError
from merkit.core.lookup import load
from merkit.corpora import crema_d, emodb, emovo, ravdess


def test_crema_d_is_read_from_the_names(tmp_path: Path) -> None:
    count = write_crema_d(tmp_path, actors=(1001, 1002))

    corpus = crema_d.read(tmp_path, CorpusOptions())

    assert len(corpus.utterances) == count
    assert corpus.findings == []
    first = corpus.utterances[0]
    assert (first.id, first.conversation, first.turn, first.speaker) == (
        "1001_DFA_ANG_XX",
        "1001_DFA_ANG_XX",
        0,
        "1001",
    )
    assert (first.text, first.audio, first.video) == ("Don't forget a jacket.", "AudioWAV/1001_DFA_ANG_XX.wav", None)
    assert first.attributes == {"emotion": "ANG", "intensity": "XX", "sentence": "DFA"}


def test_the_twelve_sentences_of_crema_d_are_known() -> None:
    assert len(set(crema_d.SENTENCES.values())) == 12


def test_known_defects_of_crema_d_are_found(tmp_path: Path) -> None:
    write_crema_d(tmp_path, actors=(1076,))
    write_tone(tmp_path / "AudioWAV" / "1040_ITH_SAD_X.wav", 200)

    corpus = crema_d.read(tmp_path, CorpusOptions())

    found = {finding.code: finding for finding in corpus.findings}
    assert len(found["known-bad-clips"].ids) == 6
    assert "1076_MTI_SAD_XX" in found["known-bad-clips"].ids
    assert found["mended-names"].ids == ("1040_ITH_SAD_X",)
    assert corpus.utterances[0].attributes["intensity"] == "XX"
    assert len(corpus.utterances) == 13


def test_demographics_and_films_of_crema_d_are_read_where_they_are(tmp_path: Path) -> None:
    write_crema_d(tmp_path, actors=(1001, 1002))
    rows = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
    (tmp_path / "VideoDemographics.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "VideoFlash").mkdir()
    (tmp_path / "VideoFlash" / "1001_DFA_ANG_XX.flv").write_bytes(b"film")

    corpus = crema_d.read(tmp_path, CorpusOptions())

    first, last = corpus.utterances[0], corpus.utterances[-1]
    assert first.video == "VideoFlash/1001_DFA_ANG_XX.flv"
    assert {name: first.attributes[name] for name in ("age", "gender", "race", "ethnicity")} == {
        "age": "51",
        "gender": "male",
        "race": "Caucasian",
        "ethnicity": "Not Hispanic",
    }
    assert "gender" not in last.attributes


def test_demographics_without_a_column_are_an_error(tmp_path: Path) -> None:
    write_crema_d(tmp_path, actors=(1001,))
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Age\n1001,51\n", encoding="utf-8")

    with pytest.raises(MerkitError, match="no column Ethnicity, Race, Sex"):
        crema_d.read(tmp_path, CorpusOptions())


def test_ravdess_is_read_from_the_names(tmp_path: Path) -> None:
    count = write_ravdess(tmp_path, actors=(1, 12))
    film = tmp_path / "Video_Speech_Actor_12" / "Actor_12" / "01-01-06-01-02-01-12.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")

    corpus = ravdess.read(tmp_path, CorpusOptions())

    assert len(corpus.utterances) == count
    (utterance,) = [u for u in corpus.utterances if u.id == "03-01-06-01-02-01-12"]
    assert (utterance.speaker, utterance.text) == ("12", "Dogs are sitting by the door.")
    assert utterance.audio == "Actor_12/03-01-06-01-02-01-12.wav"
    assert utterance.video == film.relative_to(tmp_path).as_posix()
    assert utterance.attributes == {
        "emotion": "fearful",
        "intensity": "normal",
        "statement": "02",
        "repetition": "01",
        "gender": "female",
    }
    assert sum(u.video is not None for u in corpus.utterances) == 1
    assert corpus.utterances[0].attributes["gender"] == "male"


def test_song_copies_and_strangers_are_not_read_but_told(tmp_path: Path) -> None:
    write_ravdess(tmp_path, actors=(1, 2))
    write_ravdess(tmp_path / "audio_speech_actors_01-24", actors=(1,))
    write_tone(tmp_path / "Actor_01" / "03-02-06-01-02-01-01.wav", 300)
    (tmp_path / "Actor_01" / "._03-01-06-01-02-01-01.wav").write_bytes(b"resource fork")

    corpus = ravdess.read(tmp_path, CorpusOptions())

    assert len(corpus.utterances) == 16
    assert all(str(u.audio).startswith("Actor_") for u in corpus.utterances)
    found = {finding.code: finding for finding in corpus.findings}
    assert len(found["duplicated-clips"].ids) == 8
    assert "1 file (Actor_01/03-02-06-01-02-01-01.wav) without a name of this corpus" in found["unknown-names"].message


def test_emodb_is_read_from_the_names(tmp_path: Path) -> None:
    count = write_emodb(tmp_path)
    write_tone(tmp_path / "wav" / "16b10Wd.wav", 300)

    corpus = emodb.read(tmp_path, CorpusOptions())

    assert len(corpus.utterances) == count + 1
    assert corpus.findings == []
    last = corpus.utterances[-1]
    assert (last.id, last.conversation, last.turn, last.speaker) == ("16b10Wd", "16b10Wd", 0, "16")
    assert last.text == "Die wird auf dem Platz sein, wo wir sie immer hinlegen."
    assert (last.audio, last.language) == ("wav/16b10Wd.wav", "de")
    assert last.attributes == {"emotion": "anger", "sentence": "b10", "version": "d", "gender": "female"}
    assert [u.attributes["emotion"] for u in corpus.utterances[:7]] == [
        "fear", "disgust", "happiness", "boredom", "neutral", "sadness", "anger",
    ]  # fmt: skip


def test_emovo_is_read_from_the_names(tmp_path: Path) -> None:
    count = write_emovo(tmp_path)
    write_tone(tmp_path / "m3" / "tri-m3-n5.wav", 300)

    corpus = emovo.read(tmp_path, CorpusOptions())

    assert len(corpus.utterances) == count + 1
    assert corpus.findings == []
    last = corpus.utterances[-1]
    assert (last.id, last.conversation, last.turn, last.speaker) == ("tri-m3-n5", "tri-m3-n5", 0, "m3")
    assert (last.text, last.language) == ("Uno quarantatré dieci mille cinquantasette venti.", "it")
    assert last.audio == "m3/tri-m3-n5.wav"
    assert last.attributes == {"emotion": "sadness", "sentence": "n5", "gender": "male"}
    assert {str(u.attributes["emotion"]) for u in corpus.utterances} == {
        "anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise",
    }  # fmt: skip


def test_clips_may_be_flac_and_a_clip_in_two_formats_is_read_once(tmp_path: Path) -> None:
    write_tone(tmp_path / "audio" / "03-01-06-01-02-01-12.flac", 300)
    write_tone(tmp_path / "audio" / "03-01-06-01-02-01-13.FLAC", 300)
    write_tone(tmp_path / "audio" / "03-01-06-01-02-01-13.wav", 300)

    corpus = ravdess.read(tmp_path, CorpusOptions())

    assert [u.audio for u in corpus.utterances] == [
        "audio/03-01-06-01-02-01-12.flac",
        "audio/03-01-06-01-02-01-13.wav",
    ]
    (finding,) = corpus.findings
    assert (finding.code, finding.ids) == ("duplicated-clips", ("03-01-06-01-02-01-13",))


@pytest.mark.parametrize("adapter", [crema_d, emodb, emovo, ravdess])
def test_a_folder_without_clips_is_an_error(tmp_path: Path, adapter: object) -> None:
    write_tone(tmp_path / "x.wav", 300)

    with pytest.raises(MerkitError, match=r"no file like .* in it; found 1 WAV or FLAC file\."):
        adapter.read(tmp_path, CorpusOptions())  # type: ignore[attr-defined]
    with pytest.raises(MerkitError, match="no such folder"):
        adapter.read(tmp_path / "nowhere", CorpusOptions())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("corpus", "protocol", "write", "utterances"),
    [
        ("crema_d", "crema-d6", write_crema_d, 7442),
        ("ravdess", "ravdess8", write_ravdess, 1440),
        ("ravdess", "ravdess7", write_ravdess, 1440),
        ("emodb", "emodb7", write_emodb, 535),
        ("emovo", "emovo7", write_emovo, 588),
    ],
)
def test_the_protocols_read_what_the_adapters_write(
    tmp_path: Path, corpus: str, protocol: str, write: object, utterances: int
) -> None:
    count = write(tmp_path)  # type: ignore[operator]
    adapter, spec = load("corpora", corpus), load("protocols", protocol)

    folds = spec.build(spec.options(), True).folds(adapter.read(tmp_path, adapter.options()).utterances, 0)

    assert (spec.corpus, adapter.expected["utterances"]) == (corpus, utterances)
    assert sum(len(fold.test) for fold in folds) == count
