"""What every corpus adapter must do.

A file dropped into ``merkit/corpora`` is tested here without any edit, on the release that its ``SPEC.example`` writes.
"""

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.releases import WRITERS

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.errors import CountError, MerkitError
from merkit.core.lookup import load, names
from merkit.core.types import MODALITIES
from merkit.data.corpus.manifest import count, read_manifest
from merkit.data.corpus.prepare import prepare

NAMES = names("corpora")


@dataclass(frozen=True)
class Release:
    """A tiny made-up release and what its adapter reads from it."""

    spec: CorpusSpec
    raw: Path
    options: CorpusOptions
    corpus: RawCorpus


def read_release(name: str, folder: Path) -> Release:
    spec: CorpusSpec = load("corpora", name)
    write = WRITERS.get(name, spec.example)
    assert write is not None, f"'{name}' has no SPEC.example: write a tiny release below a folder, see CorpusSpec"
    if name == "parley":
        pytest.importorskip("espeakng_loader", reason="needs the extra 'demo'")
    options = spec.options(**(write(folder) or {}))
    return Release(spec, folder, options, spec.read(folder, options))


@pytest.fixture(scope="module", params=NAMES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return read_release(request.param, tmp_path_factory.mktemp(request.param))


def content(corpus: RawCorpus) -> Any:
    features = [
        (f.name, f.modality, f.columns, {name: (a.tolist(), str(a.dtype)) for name, a in f.arrays.items()})
        for f in corpus.features
    ]
    return repr((list(corpus.utterances), features, list(corpus.findings), corpus.facts))


def test_there_are_corpora() -> None:
    assert set(NAMES) >= {"meld", "iemocap", "parley", "table"}
    assert set(WRITERS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_says_what_it_is(name: str) -> None:
    spec: CorpusSpec = load("corpora", name)

    assert spec.summary.strip()
    assert spec.version >= 1
    with pytest.raises(ValidationError, match="opiton"):
        spec.options(opiton=1)
    if spec.citation is not None:
        assert spec.expected, "a published corpus has published counts"
        assert spec.licence
        assert all(spec.citation.field(name) for name in ("author", "title", "year")), "the BibTeX entry is complete"


def test_ids_are_unique_and_turns_of_a_conversation_follow_each_other(release: Release) -> None:
    corpus = release.corpus

    assert len({utterance.id for utterance in corpus.utterances}) == len(corpus.utterances) > 0
    runs = [(key, list(rows)) for key, rows in groupby(corpus.utterances, key=lambda utterance: utterance.conversation)]
    assert len({key for key, _ in runs}) == len(runs), "the utterances of a conversation stand together"
    for _, rows in runs:
        assert [utterance.turn for utterance in rows] == list(range(len(rows)))


def test_media_lie_below_the_release_and_their_paths_are_relative_to_it(release: Release) -> None:
    for media in {m for u in release.corpus.utterances for m in (u.audio, u.video) if m is not None}:
        assert not Path(media).is_absolute()
        assert (release.raw / media).is_file(), media


def test_the_same_release_in_another_folder_is_the_same_corpus(release: Release, tmp_path: Path) -> None:
    again = read_release(release.spec.name, tmp_path)

    assert content(again.corpus) == content(release.corpus)
    assert str(tmp_path) not in content(again.corpus)


def test_published_features_belong_to_utterances_and_are_named(release: Release) -> None:
    corpus = release.corpus
    ids = {utterance.id for utterance in corpus.utterances}

    assert len({features.name for features in corpus.features}) == len(corpus.features)
    for features in corpus.features:
        assert features.modality in MODALITIES
        assert features.arrays
        assert set(features.arrays) <= ids
        dims = {array.shape[1:] for array in features.arrays.values()}
        assert len(dims) == 1
        assert all(array.ndim == 2 and len(array) and array.dtype == np.float32 for array in features.arrays.values())
        assert not features.columns or len(features.columns) == next(iter(dims))[0]


def test_findings_have_a_known_level_and_a_code(release: Release) -> None:
    for finding in release.corpus.findings:
        assert finding.level in ("info", "warning", "error")
        assert finding.code == finding.code.lower().replace(" ", "-")
        assert finding.message.strip()


def test_counts_are_declared_and_a_smaller_corpus_is_refused(release: Release, tmp_path: Path) -> None:
    spec, corpus = release.spec, release.corpus

    manifest = prepare(spec, release.raw, tmp_path / "out", release.options, allow_partial=True)

    assert set(spec.expected) <= set(count(corpus.utterances)), "counted under other names"
    assert manifest.info.partial is bool(spec.expected)
    read = read_manifest(tmp_path / "out").utterances
    assert [replace(u, audio=None, video=None) for u in read] == [
        replace(u, audio=None, video=None) for u in corpus.utterances
    ]
    if spec.expected:
        with pytest.raises(CountError, match="counts differ from the published ones"):
            prepare(spec, release.raw, tmp_path / "other", release.options)


@pytest.mark.parametrize("name", [name for name in NAMES if not load("corpora", name).makes_media])
def test_an_empty_folder_is_an_error(name: str, tmp_path: Path) -> None:
    spec: CorpusSpec = load("corpora", name)

    with pytest.raises(MerkitError) as caught:
        prepare(spec, tmp_path, tmp_path / "out", allow_partial=True)

    assert str(tmp_path) in str(caught.value)
