from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile

from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, PublishedFeatures, RawCorpus
from merkit.core.types import Utterance
from merkit.data.corpus.doctor import check_repeated_ids, examine
from merkit.data.corpus.findings import write_findings
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.data.features.published import write_published

RATE_HZ = 8000


def tone(seconds=0.5, peak=0.5):
    return (peak * np.sin(np.arange(round(seconds * RATE_HZ)) * 0.3)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path):
    """Write named recordings and return the manifest with one utterance each."""

    def make(recordings, **info):
        for name, samples in recordings.items():
            if samples is not None:
                soundfile.write(tmp_path / f"{name}.wav", samples, RATE_HZ)
        utterances = [Utterance(name, name, 0, "s", text="words", audio=f"{name}.wav") for name in recordings]
        return write_manifest(tmp_path, utterances, **{"name": "toy", "version": 1, **info})

    return make


def told(findings):
    return {finding.code: (finding.level, finding.ids) for finding in findings}


def test_a_healthy_corpus_has_no_findings(corpus):
    assert examine(corpus({"a": tone(), "b": tone(0.2)})) == []


def test_recordings_that_are_missing_or_unreadable_are_errors(corpus, tmp_path):
    manifest = corpus({"sound": tone(), "gone": None, "text": None, "empty": None})
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.wav").write_bytes(b"")

    found = examine(manifest)

    assert told(found) == {
        "missing-media": ("error", ("gone",)),
        "unreadable-media": ("error", ("text", "empty")),
    }
    assert "gone.wav" in found[0].message
    assert "text.wav" in found[1].message


def test_damage_that_only_listening_finds_is_an_error(corpus, tmp_path):
    manifest = corpus({"holes": None})
    samples = tone()
    samples[100] = np.nan
    soundfile.write(tmp_path / "holes.wav", samples, RATE_HZ, subtype="FLOAT")

    assert told(examine(manifest)) == {"unreadable-media": ("error", ("holes",))}


def test_a_silent_film_named_as_audio_is_an_error(corpus, tmp_path):
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8))):
            container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    utterance = Utterance("a", "a", 0, "s", audio="film.mp4", video="film.mp4")

    found = examine(write_manifest(tmp_path, [utterance], name="toy", version=1))

    assert told(found) == {"no-sound": ("error", ("a",))}


def test_a_recording_that_ends_early_is_unreadable(corpus, tmp_path):
    manifest = corpus({"cut": tone(2.0)})
    content = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])

    assert told(examine(manifest)) == {"unreadable-media": ("error", ("cut",))}


def test_a_recording_that_was_repaired_or_is_not_read_to_its_end_is_a_warning(corpus, tmp_path):
    manifest = corpus({"died": tone(), "long": tone()})
    for name, size in (("died", 0), ("long", 2000)):
        content = bytearray((tmp_path / f"{name}.wav").read_bytes())
        content[40:44] = size.to_bytes(4, "little")
        (tmp_path / f"{name}.wav").write_bytes(content)

    found = examine(manifest)

    assert told(found) == {"media-notes": ("warning", ("died", "long"))}
    assert "died.wav: its header says that it holds no samples" in found[0].message


def test_silence_and_clipping_are_warnings_and_soft_or_full_sound_is_not(corpus):
    recordings = {
        "none": tone(peak=0.0),
        "hum": tone(peak=5e-4),
        "quiet": tone(peak=2e-3),
        "loud": tone(peak=0.99),
        "square": np.sign(tone()).astype(np.float32),
    }

    found = examine(corpus(recordings))

    assert told(found) == {"silence": ("warning", ("none", "hum")), "clipping": ("warning", ("square",))}


def test_long_and_short_recordings_are_reported_by_what_was_heard(corpus):
    found = examine(corpus({"long": tone(30.5), "short": tone(0.05), "right": tone()}))

    assert told(found) == {"over-long": ("warning", ("long",)), "very-short": ("warning", ("short",))}


def test_cuts_beyond_the_recording_are_errors(corpus, tmp_path):
    manifest = corpus({"a": tone(1.0)})
    whole = manifest.utterances[0]
    cuts = {
        "in": (0.2, 0.8),
        "to the end": (0.5, None),
        "rounded": (0.5, 1.05),
        "behind": (1.2, None),
        "over": (0.5, 1.5),
    }
    utterances = [
        replace(whole, id=name, conversation=name, start_s=start, end_s=end) for name, (start, end) in cuts.items()
    ]

    found = examine(write_manifest(tmp_path, utterances, name="toy", version=1))

    assert told(found) == {"cut-outside": ("error", ("behind", "over"))}
    assert "1.2 s to the end of 1 s" in found[0].message


def test_sound_is_measured_within_the_cut_alone(corpus, tmp_path):
    manifest = corpus({"a": np.concatenate([tone(1.0), np.zeros(RATE_HZ, dtype=np.float32)])})
    whole = manifest.utterances[0]
    utterances = [
        replace(whole, id="first", conversation="first", end_s=1.0),
        replace(whole, id="second", conversation="second", start_s=1.2),
    ]

    found = examine(write_manifest(tmp_path, utterances, name="toy", version=1))

    assert told(found) == {"silence": ("warning", ("second",))}


def test_a_sound_file_named_as_video_is_an_error(corpus, tmp_path):
    manifest = corpus({"a": tone()})
    utterances = [replace(manifest.utterances[0], audio=None, video="a.wav")]

    found = examine(write_manifest(tmp_path, utterances, name="toy", version=1))

    assert told(found) == {"no-picture": ("error", ("a",))}


def test_utterances_that_share_a_recording_are_reported(corpus, tmp_path):
    manifest = corpus({"a": tone(), "b": tone()})
    utterances = [manifest.utterances[0], replace(manifest.utterances[1], audio="a.wav")]

    found = examine(write_manifest(tmp_path, utterances, name="toy", version=1))

    assert told(found) == {"repeated-recording": ("warning", ("a", "b"))}


def test_ids_that_occur_twice_are_errors():
    twice = Utterance("a", "c", 0, "s", text="x")

    assert told(check_repeated_ids([twice, twice])) == {"repeated-id": ("error", ("a",))}


def toy_spec(expected, version=1):
    return CorpusSpec(
        name="toy",
        version=version,
        summary="",
        options=CorpusOptions,
        read=lambda raw, options: RawCorpus([]),
        expected=expected,
    )


def test_counts_are_compared_with_the_published_ones(corpus):
    manifest = corpus({"a": tone()})

    assert examine(manifest, toy_spec({"utterances": 1})) == []
    (finding,) = examine(manifest, toy_spec({"utterances": 3}))
    assert (finding.level, finding.code) == ("error", "counts")
    assert "utterances 1 found, 3 expected (-2)" in finding.message


def test_a_part_that_was_accepted_is_a_warning(corpus):
    (finding,) = examine(corpus({"a": tone()}, partial=True), toy_spec({"utterances": 3}))

    assert (finding.level, finding.code) == ("warning", "counts")


def test_a_manifest_of_an_older_adapter_is_reported(corpus):
    (finding,) = examine(corpus({"a": tone()}), toy_spec({}, version=2))

    assert finding.code == "adapter-version"
    assert "version 1 of the adapter, now 2" in finding.message


def test_a_table_that_no_adapter_made_needs_no_adapter_again(tmp_path):
    (tmp_path / "mine.csv").write_text("id,text\nu1,hi\n")

    assert examine(read_manifest(tmp_path / "mine.csv"), toy_spec({}, version=2)) == []


def test_features_that_are_missing_undefined_or_damaged_are_reported(corpus, tmp_path):
    manifest = corpus({"a": tone(), "b": tone()})
    arrays = {"a": np.array([[np.nan, 1.0]])}
    write_published(tmp_path / "precomputed" / "praat", PublishedFeatures("praat", "audio", arrays))
    write_published(tmp_path / "precomputed" / "lost", PublishedFeatures("lost", "audio", arrays))
    (tmp_path / "precomputed" / "lost" / "features.safetensors").unlink()

    assert told(examine(manifest)) == {
        "features-lost": ("error", ()),
        "features-praat-missing": ("warning", ("b",)),
        "features-praat-undefined": ("info", ("a",)),
    }


def test_what_the_adapter_noticed_is_kept_unless_the_same_check_says_more_now(corpus, tmp_path):
    manifest = corpus({"a": tone(peak=0.0), "b": tone(0.05)})
    noticed = [
        Finding("info", "silence", "known to be silent", ("a",)),
        Finding("warning", "very-short", "of another day", ("z",)),
        Finding("warning", "broken-clips", "as released", ("c",)),
    ]
    write_findings(tmp_path / "findings.json", noticed)

    found = examine(manifest)

    assert told(found) == {
        "very-short": ("warning", ("b",)),
        "broken-clips": ("warning", ("c",)),
        "silence": ("info", ("a",)),
    }


def test_texts_are_examined_without_any_recording(tmp_path):
    utterances = [
        Utterance("1", "1", 0, "s", text="It\x92s", attributes={"split": "train"}),
        Utterance("2", "2", 0, "s", text="It\x92s", attributes={"split": "test"}),
    ]

    found = examine(write_manifest(tmp_path, utterances, name="toy", version=1))

    assert told(found) == {"text-controls": ("warning", ("1", "2")), "repeated-text-test": ("info", ("2",))}


def test_progress_counts_the_recordings(corpus):
    seen = []

    examine(corpus({"a": tone(), "b": None}), progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 2), (2, 2)]
