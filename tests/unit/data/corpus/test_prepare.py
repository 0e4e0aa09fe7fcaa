from pathlib import Path

import numpy as np
import pytest

from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, PublishedFeatures, RawCorpus
from merkit.core.errors import ConfigError, CountError, ManifestError
from merkit.core.types import Utterance
from merkit.data.corpus import prepare as prepare_module
from merkit.data.corpus.findings import read_findings
from merkit.data.corpus.manifest import read_manifest
from merkit.data.corpus.prepare import prepare
from merkit.data.features.published import read_published


class ToyOptions(CorpusOptions):
    audio: str = "clips/a.wav"


def toy(expected=None, features=("a", "b"), name="toy", utterances=2):
    def read(raw, options):
        rows = [
            Utterance("a", "c", 0, "s", text="x", audio=options.audio, attributes={"split": "train"}),
            Utterance("b", "c", 1, "s", video="clips/b.mp4", attributes={"split": "train"}),
        ]
        arrays = {name: np.ones((1, 2), dtype=np.float32) for name in features}
        finding = Finding("info", "toy", "it is one")
        return RawCorpus(rows[:utterances], [PublishedFeatures("ones", "audio", arrays)], [finding], {"best": 1})

    return CorpusSpec(
        name=name,
        version=3,
        summary="a toy",
        options=ToyOptions,
        read=read,
        expected=expected or {"utterances": 2, "train.conversations": 1},
    )


def test_preparing_writes_manifest_features_and_findings(tmp_path):
    manifest = prepare(toy(), tmp_path / "raw", tmp_path / "data" / "toy")

    assert read_manifest(tmp_path / "data" / "toy") == manifest
    assert (manifest.info.name, manifest.info.version, manifest.info.facts) == ("toy", 3, {"best": 1})
    assert not manifest.info.partial
    assert list(read_published(tmp_path / "data" / "toy" / "precomputed" / "ones").arrays) == ["a", "b"]
    assert read_findings(tmp_path / "data" / "toy" / "findings.json") == [Finding("info", "toy", "it is one")]


def test_media_stay_where_they_are_and_are_found_from_the_manifest(tmp_path):
    clip = tmp_path / "raw" / "clips" / "a.wav"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"sound")

    manifest = prepare(toy(), tmp_path / "raw", tmp_path / "data" / "toy")

    assert [u.audio for u in manifest.utterances] == ["../../raw/clips/a.wav", None]
    assert [u.video for u in manifest.utterances] == [None, "../../raw/clips/b.mp4"]
    assert manifest.media_path(manifest.utterances[0].audio).read_bytes() == b"sound"


def test_media_are_found_through_a_linked_folder(tmp_path):
    (tmp_path / "raw" / "clips").mkdir(parents=True)
    (tmp_path / "raw" / "clips" / "a.wav").write_bytes(b"sound")
    (tmp_path / "far" / "away" / "data").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "far" / "away" / "data")

    manifest = prepare(toy(), tmp_path / "raw", tmp_path / "data")

    assert manifest.media_path(manifest.utterances[0].audio).read_bytes() == b"sound"


def test_absolute_media_paths_stay(tmp_path):
    manifest = prepare(toy(), tmp_path / "raw", tmp_path / "data", {"audio": "/clips/a.wav"})

    assert manifest.media_path(manifest.utterances[0].audio) == Path("/clips/a.wav")


def test_preparing_again_gives_the_same_files(tmp_path):
    def content():
        return {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}

    prepare(toy(), tmp_path / "raw", tmp_path / "data")
    first = content()
    prepare(toy(), tmp_path / "raw", tmp_path / "data")

    assert len(first) == 6
    assert content() == first


EXPECTED = {"utterances": 1002, "conversations": 1, "test": 4}


def test_wrong_counts_are_an_error_that_shows_each_difference(tmp_path):
    with pytest.raises(CountError) as caught:
        prepare(toy(EXPECTED), tmp_path / "raw", tmp_path / "data")

    message = str(caught.value)
    assert "utterances 2 found, 1,002 expected (-1,000); test 0 found, 4 expected (-4)." in message
    assert "conversations" not in message.split(":", 2)[2]
    assert not (tmp_path / "data").exists()


def test_wrong_counts_are_accepted_as_partial_on_request(tmp_path):
    manifest = prepare(toy(EXPECTED), tmp_path / "raw", tmp_path / "data", allow_partial=True)

    assert manifest.info.partial
    assert manifest.info.counts["utterances"] == 2


def test_right_counts_are_not_partial_even_if_that_was_allowed(tmp_path):
    assert not prepare(toy(), tmp_path / "raw", tmp_path / "data", allow_partial=True).info.partial


def test_features_of_nobody_are_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"features 'ones' of 1 id \(z\) that no utterance has"):
        prepare(toy(features=("a", "z")), tmp_path / "raw", tmp_path / "data")


def test_an_empty_corpus_is_an_error_even_where_parts_are_allowed(tmp_path):
    with pytest.raises(ManifestError, match="no utterance found in"):
        prepare(toy(utterances=0), tmp_path / "raw", tmp_path / "data", allow_partial=True)


def test_a_folder_of_another_corpus_is_not_overwritten(tmp_path):
    prepare(toy(), tmp_path / "raw", tmp_path / "data")

    with pytest.raises(ManifestError, match="has corpus 'toy' already"):
        prepare(toy(name="game"), tmp_path / "raw", tmp_path / "data")


def test_options_may_come_checked(tmp_path):
    manifest = prepare(toy(), tmp_path / "raw", tmp_path / "data", ToyOptions(audio="/b.wav"))

    assert manifest.utterances[0].audio == "/b.wav"


def test_a_misspelt_option_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"toy: adio: .*Known options: audio"):
        prepare(toy(), tmp_path / "raw", tmp_path / "data", {"adio": "x"})


def test_an_interrupted_preparation_leaves_no_manifest(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, "write_findings", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(toy(), tmp_path / "raw", tmp_path / "data")

    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "data")
