import csv
import io
import math

import numpy as np
import pytest

from merkit.core.errors import CountError, ManifestError
from merkit.corpora.meld import SPEC, MeldOptions
from merkit.data.corpus.prepare import prepare

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
MEASURES = (
    "filename,duration,avg_intensity,intensity_variation,avg_pitch,pitch_std,pitch_range,articulation_rate,mean_hnr"
)
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}

# (dialogue, utterance, speaker, text, end of the utterance in seconds after a minute)
TRAIN = [
    (7, 2, "Ann", "The kettle is on.", 2),
    (7, 0, "Bob", "Where did the cat go?", 2),
    (0, 0, "Ann", "Rain again.", 45),
    (125, 3, "Ann", "Nobody saw it.", 2),
]
DEV = [(0, 0, "Cid", "rain again.", 2)]
TEST = [(0, 1, "Cid", "A quiet day.", 2), (0, 4, "Ann", "Indeed.", 2)]


def annotations(rows):
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(HEADER.split(","))
    for number, (dialogue, utterance, speaker, text, end_s) in enumerate(rows, start=1):
        times = ("00:01:00,000", f"00:01:{end_s:02},500")
        writer.writerow([number, text, speaker, "neutral", "neutral", dialogue, utterance, 8, 21, *times])
    return stream.getvalue()


@pytest.fixture
def release(tmp_path):
    """Write a tiny release: annotations in a folder, clips and measures where asked for."""

    def make(csv_folder="", clips=None, praat=False, without=(), train=TRAIN, encoding="utf-8"):
        for split, rows in (("train", train), ("dev", DEV), ("test", TEST)):
            names = [f"dia{row[0]}_utt{row[1]}" for row in rows]
            folder = tmp_path / csv_folder.format(split=split)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{split}_sent_emo.csv").write_bytes(annotations(rows).encode(encoding))
            if clips is not None:
                folder = tmp_path / clips.format(split=split) / FOLDERS[split]
                folder.mkdir(parents=True)
                for name in names:
                    if f"{split}_{name}" not in without:
                        (folder / f"{name}.mp4").write_bytes(b"clip")
            if praat:
                lines = [f"{name}.wav,1.5,60,7,,30,100,4.25,9" for name in names if f"{split}_{name}" not in without]
                (tmp_path / f"praat_{split}.csv").write_text("\n".join([MEASURES, *lines]) + "\n")
        return tmp_path

    return make


def read(raw, **options):
    return SPEC.read(raw, MeldOptions(**options))


def codes(corpus):
    return {finding.code: finding.ids for finding in corpus.findings}


def test_turns_count_without_gaps_and_the_numbers_of_the_release_are_kept(release):
    utterances = read(release()).utterances

    assert [(u.id, u.conversation, u.turn) for u in utterances] == [
        ("train_dia7_utt0", "train_dia7", 0),
        ("train_dia7_utt2", "train_dia7", 1),
        ("train_dia0_utt0", "train_dia0", 0),
        ("train_dia125_utt3", "train_dia125", 0),
        ("dev_dia0_utt0", "dev_dia0", 0),
        ("test_dia0_utt1", "test_dia0", 0),
        ("test_dia0_utt4", "test_dia0", 1),
    ]
    second = utterances[1]
    assert (second.speaker, second.text, second.language) == ("Ann", "The kettle is on.", "en")
    assert (second.audio, second.video, second.start_s, second.end_s) == (None, None, None, None)
    assert second.attributes == {
        "emotion": "neutral",
        "sentiment": "neutral",
        "split": "train",
        "dialogue_id": 7,
        "utterance_id": 2,
        "season": 8,
        "episode": 21,
        "episode_start": "00:01:00,000",
        "episode_end": "00:01:02,500",
    }


@pytest.mark.parametrize(
    ("csv_folder", "clips"),
    [("", ""), ("{split}", "{split}"), ("MELD.Raw", "MELD.Raw/{split}"), ("data/MELD", ""), ("MELD.Raw", "MELD.Raw")],
)
def test_clips_are_found_where_the_release_is_usually_unpacked(release, csv_folder, clips):
    raw = release(csv_folder, clips)

    utterances = read(raw).utterances

    assert len(utterances) == 7
    for utterance in utterances:
        if utterance.id != "train_dia125_utt3":
            assert (raw / utterance.audio).read_bytes() == b"clip"
            assert utterance.video == utterance.audio
            assert (utterance.start_s, utterance.end_s) == (None, None)


def test_the_clip_that_is_broken_in_the_release_is_a_finding_and_its_utterance_has_text_alone(release):
    corpus = read(release(clips="", without=("train_dia125_utt3",)))

    broken = next(u for u in corpus.utterances if u.id == "train_dia125_utt3")
    assert (broken.text, broken.audio, broken.video) == ("Nobody saw it.", None, None)
    assert codes(corpus)["broken-clips"] == ("train_dia125_utt3",)


def test_a_missing_clip_is_an_error_that_names_it_and_not_a_smaller_corpus(release):
    raw = release(clips="", without=("dev_dia0_utt0", "test_dia0_utt4"))

    with pytest.raises(ManifestError, match=r"2 clips \(dev_dia0_utt0, test_dia0_utt4\) missing"):
        read(raw)


def test_missing_clips_that_the_user_skips_are_reported_and_their_text_stays(release):
    corpus = read(release(clips="", without=("test_dia0_utt4",)), missing_clips="skip")

    assert codes(corpus)["missing-clips"] == ("test_dia0_utt4",)
    assert len(corpus.utterances) == 7
    assert [u.id for u in corpus.utterances if u.audio is None] == ["train_dia125_utt3", "test_dia0_utt4"]


def test_clips_of_some_splits_alone_are_an_error_unless_ignored(release):
    raw = release(clips="")
    for clip in (raw / "dev_splits_complete").iterdir():
        clip.unlink()
    (raw / "dev_splits_complete").rmdir()

    with pytest.raises(ManifestError, match=r"train_splits.*, but no folder dev_splits_complete; .*clips=ignore"):
        read(raw)
    assert all(u.audio is None for u in read(raw, clips="ignore").utterances)


def test_clips_without_annotation_are_reported_and_what_macs_leave_is_not(release):
    raw = release(clips="")
    (raw / "dev_splits_complete" / "dia9_utt9.mp4").write_bytes(b"clip")
    (raw / "dev_splits_complete" / "._dia0_utt0.mp4").write_bytes(b"")

    assert codes(read(raw))["clips-without-row"] == ("dev_dia9_utt9",)


@pytest.mark.parametrize(
    ("text", "encoding"), [("It\x92s late\x85", "utf-8"), ("It’s late…", "cp1252"), ("Itâ€™s lateâ€¦", "utf-8")]
)
def test_text_in_a_wrong_encoding_is_mended_and_counted(release, text, encoding):
    corpus = read(release(train=[*TRAIN, (1, 0, "Ann", text, 2)], encoding=encoding))

    assert next(u.text for u in corpus.utterances if u.id == "train_dia1_utt0") == "It’s late…"
    assert codes(corpus)["text-mended"] == ("train_dia1_utt0",)


def test_sound_text_is_not_counted_as_mended(release):
    corpus = read(release(train=[*TRAIN, (1, 0, "Ann", "It’s a café…", 2)]))

    assert corpus.utterances[4].text == "It’s a café…"
    assert codes(corpus)["text-mended"] == ()


def test_long_utterances_and_texts_that_training_has_are_findings(release):
    found = codes(read(release()))

    assert found["over-long"] == ("train_dia0_utt0",)
    assert found["repeated-text-dev"] == ("dev_dia0_utt0",)
    assert "repeated-text-test" not in found


def test_praat_measures_become_features_with_undefined_cells_as_nan(release):
    corpus = read(release(praat=True, without=("train_dia125_utt3",)))

    (features,) = corpus.features
    assert (features.name, features.modality) == ("praat", "audio")
    assert features.columns[0] == "duration (s)"
    assert list(features.arrays) == [u.id for u in corpus.utterances if u.id != "train_dia125_utt3"]
    expected = [[1.5, 60, 7, math.nan, 30, 100, 4.25, 9]]
    np.testing.assert_array_equal(features.arrays["test_dia0_utt4"], np.array(expected, dtype=np.float32))
    found = {finding.code: finding for finding in corpus.findings}
    assert found["features-praat-missing"].ids == ("train_dia125_utt3",)
    assert found["features-praat-missing"].level == "info"
    assert len(found["features-praat-undefined"].ids) == 6


def test_measures_missing_beyond_the_known_ones_are_a_warning(release):
    corpus = read(release(praat=True, without=("test_dia0_utt4",)))

    found = {finding.code: finding for finding in corpus.findings}
    assert (found["features-praat-missing"].level, found["features-praat-missing"].ids) == (
        "warning",
        ("test_dia0_utt4",),
    )


def test_measures_of_clips_without_annotation_are_reported(release):
    raw = release(praat=True)
    with (raw / "praat_dev.csv").open("a") as stream:
        stream.write("dia9_utt9.wav,1,1,1,1,1,1,1,1\n")

    assert codes(read(raw))["praat-without-row"] == ("dev_dia9_utt9",)


def test_measures_of_some_splits_alone_are_an_error(release):
    raw = release(praat=True)
    (raw / "praat_dev.csv").unlink()

    with pytest.raises(ManifestError, match=r"no praat_dev\.csv"):
        read(raw)


def test_a_measure_that_is_no_number_is_an_error(release):
    raw = release(praat=True)
    with (raw / "praat_dev.csv").open("a") as stream:
        stream.write("dia9_utt9.wav,1,1,1,high,1,1,1,1\n")

    with pytest.raises(ManifestError, match=r"praat_dev\.csv: 'dia9_utt9\.wav': .*'high'"):
        read(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"no column Utterance, .*, found an empty file"),
        (HEADER.replace("Speaker", "Who") + "\n", r"no column Speaker, found Sr No\., Utterance, Who"),
        (HEADER + "\n1,Words", r"line 2 ends early"),
        (
            HEADER + '\n1,Words,Ann,joy,positive,x,0,1,1,"00:00:01,000",later\n',
            r"utterance 1 has Dialogue_ID 'x', EndTime 'later'",
        ),
    ],
)
def test_malformed_annotations_are_an_error_that_names_the_place(release, content, message):
    raw = release()
    (raw / "dev_sent_emo.csv").write_text(content)

    with pytest.raises(ManifestError, match=message) as caught:
        read(raw)

    assert "dev_sent_emo.csv" in str(caught.value)


def test_missing_annotations_are_an_error_that_says_where_they_were_looked_for(release, tmp_path):
    raw = release()
    (raw / "test_sent_emo.csv").unlink()

    with pytest.raises(ManifestError, match=r"no test_sent_emo\.csv; looked in .*MELD\.Raw"):
        read(raw)


def test_a_part_of_the_release_needs_to_be_asked_for(release, tmp_path):
    raw = release()

    with pytest.raises(CountError, match="train 4 found, 9,989 expected"):
        prepare(SPEC, raw, tmp_path / "data")
    assert prepare(SPEC, raw, tmp_path / "data", allow_partial=True).info.partial
