"""Whose voices a fold's views have, what is made and what is found again."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.miniature import write_iemocap, write_tone

from merkit.core.encoder import EncoderHome
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import load
from merkit.core.protocol import Fold
from merkit.core.types import Utterance
from merkit.core.view import AudioEngine, Speaking
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.data.corpus.prepare import prepare
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.transforms.augmented_views import Maker, ViewsTable, open_views


class Stub(AudioEngine):
    """Two samples: how long the words are, and a number that the seed decides."""

    needs_donor = True
    reads_text = True

    def __init__(self) -> None:
        self.asked: list[Speaking] = []

    def identity(self) -> Mapping[str, Any]:
        return {"engine": "stub"}

    def speak(self, speaking: Speaking) -> np.ndarray:
        self.asked.append(speaking)
        return np.array([len(speaking.text or "") / 100, speaking.seed % 97 / 100], dtype=np.float32)


def choice(count: int = 2, **engines: str) -> ViewsTable:
    return ViewsTable(count=count, **{modality: {"name": name} for modality, name in engines.items()})


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("iemocap")
    write_iemocap(folder / "raw")
    spec = load("corpora", "iemocap")
    return prepare(spec, folder / "raw", folder / "data", spec.options(), True)


@pytest.mark.parametrize("engine", ["voice", "espeak", "perturb"])
def test_the_voices_of_a_fold_hold_no_speaker_of_its_test_session(iemocap: Manifest, engine: str) -> None:
    spec = load("protocols", "iemocap4-session")
    protocol = spec.build(spec.options(), True)
    maker = Maker(choice(audio=engine), iemocap)
    folds = protocol.folds(iemocap.utterances, 0)
    assert len(folds) == 5

    for fold in folds:
        planned = maker.plan(fold)

        tested = {iemocap.by_id[name].speaker for name in fold.test}
        assert len(tested) == 2
        assert not {view.voice for view in planned} & tested
        assert len(planned) == 2 * len(fold.train)
        assert [view.utterance.id for view in planned[::2]] == list(fold.train)
        for view in planned:
            if engine == "perturb":
                assert view.donor is None
            else:
                assert view.donor is not None
                assert fold.train[view.donor.id] == fold.train[view.utterance.id]  # the same emotion
                assert view.donor.speaker != view.utterance.speaker
        if engine != "perturb":
            assert len({view.voice for view in planned}) == 8


def test_most_pairs_stay_when_a_fold_lacks_other_speakers(iemocap: Manifest) -> None:
    spec = load("protocols", "iemocap4-session")
    folds = spec.build(spec.options(), True).folds(iemocap.utterances, 0)
    maker = Maker(choice(audio="voice"), iemocap)

    def pairs(fold: Fold) -> dict[tuple[str, int], str]:
        return {(view.utterance.id, view.number): view.donor.id for view in maker.plan(fold) if view.donor is not None}

    first, second = pairs(folds[0]), pairs(folds[1])
    shared = first.keys() & second.keys()

    assert len(shared) > 50
    # a donor of a fold stays in the other one unless its speaker or, for validation, its conversation is taken away
    assert np.mean([first[key] == second[key] for key in shared]) > 0.3  # by chance one in dozens
    assert pairs(folds[0]) == first


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Manifest, Fold]:
    """Anna, Ben, Cleo and Dan; class 0 of all four, class 1 of Anna and Ben; Dan is tested."""
    utterances = []
    for number, (speaker, words) in enumerate(
        [(s, w) for s in ("anna", "ben", "cleo", "dan") for w in ("so we go", "!")]
    ):
        write_tone(tmp_path / f"{number}.wav", 200.0 + 30 * number, 0.1)
        utterances.append(Utterance(f"u{number}", f"c{number}", 0, speaker, text=words, audio=f"{number}.wav"))
    manifest = write_manifest(tmp_path, utterances, name="tones", version=1)
    return manifest, Fold("f", {"u0": 0, "u1": 1, "u2": 0, "u3": 1, "u4": 0}, {"u5": 0}, ("u6", "u7"))


def made_by(maker: Maker, manifest: Manifest, fold: Fold) -> Any:
    return maker.make(maker.plan(fold), {turn.utterance.id: turn for turn in manifest.turns()})


def test_views_are_made_once_and_found_again(corpus: tuple[Manifest, Fold]) -> None:
    manifest, fold = corpus
    stub, again = Stub(), Stub()
    makers = [Maker(choice(text="edit", audio="perturb"), manifest) for _ in range(2)]
    for maker, engine in zip(makers, (stub, again), strict=True):
        maker.audio, maker.identity = engine, {**maker.identity, "audio": engine.identity()}

    first = made_by(makers[0], manifest, fold)
    second = made_by(makers[1], manifest, fold)

    assert first.new == 10 + 6  # ten wordings; u1 and u3 say nothing that could be spoken
    assert first.kept == second.kept == 4
    assert len(stub.asked) == 6
    assert second.new == 0
    assert not again.asked
    assert [turn.utterance for turn in first.turns] == [turn.utterance for turn in second.turns]
    assert {asked.donor.utterance.speaker for asked in stub.asked if asked.donor} <= {"anna", "ben", "cleo"}
    for view, turn in zip(first.planned, first.turns, strict=True):
        changed = turn.utterance
        assert changed.id.startswith(f"{view.utterance.id}#{view.number}-")
        if view.utterance.text == "!":
            assert (changed.audio, changed.speaker) == (view.utterance.audio, view.utterance.speaker)
        else:
            assert Path(str(changed.audio)).is_file()
            assert changed.speaker == view.voice != view.utterance.speaker

    ids = [turn.utterance.id for turn in first.turns]
    assert len(set(ids)) == len(ids)
    more = Maker(choice(text="edit"), manifest)
    other = [turn.utterance.id for turn in made_by(more, manifest, fold).turns]
    assert [name in ids for name in other] == [view.utterance.text == "!" for view in first.planned]

    lost = Path(str(first.turns[0].utterance.audio))
    lost.unlink()
    assert made_by(makers[1], manifest, fold).new == 1
    assert lost.is_file()


def test_views_are_found_from_a_relative_data_folder(
    corpus: tuple[Manifest, Fold], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, fold = corpus
    monkeypatch.chdir(manifest.root.parent)
    relative = replace(manifest, root=Path(manifest.root.name))

    made = made_by(Maker(choice(audio="perturb"), relative), relative, fold)

    assert all((turn.root / str(turn.utterance.audio)).is_file() for turn in made.turns)


def test_a_changed_recording_is_perturbed_anew(corpus: tuple[Manifest, Fold]) -> None:
    manifest, fold = corpus
    assert made_by(Maker(choice(audio="perturb"), manifest), manifest, fold).new == 10

    write_tone(manifest.root / "0.wav", 999.0, 0.1)

    assert made_by(Maker(choice(audio="perturb"), manifest), manifest, fold).new == 2
    assert made_by(Maker(choice(3, audio="perturb"), manifest), manifest, fold).new == 5  # one more of each


def test_an_utterance_that_finds_no_voice_is_an_error(corpus: tuple[Manifest, Fold]) -> None:
    manifest, fold = corpus
    alone = replace(fold, train={"u0": 0, "u1": 0, "u2": 1})

    with pytest.raises(ConfigError, match=r"'u0' of fold f has no donor of a voice.*'perturb'"):
        Maker(choice(audio="voice"), manifest).plan(alone)
    nameless = write_manifest(
        manifest.root / "n", [replace(u, speaker="") for u in manifest.utterances], name="n", version=1
    )
    with pytest.raises(ConfigError, match="unknown ones do not"):
        Maker(choice(audio="voice"), nameless).plan(fold)


def test_a_tested_speaker_lends_no_voice_even_where_a_protocol_trains_on_them(corpus: tuple[Manifest, Fold]) -> None:
    manifest, fold = corpus
    mixed = replace(fold, train={**fold.train, "u6": 0}, test=("u7",))

    planned = Maker(choice(8, audio="voice"), manifest).plan(mixed)

    assert {view.donor.speaker for view in planned if view.donor} == {"anna", "ben", "cleo"}


def test_an_encoder_that_cannot_read_views_is_told(corpus: tuple[Manifest, Fold]) -> None:
    manifest, fold = corpus
    made = made_by(Maker(choice(text="edit"), manifest), manifest, fold)
    spec = load("encoders", "logmel")
    deaf = spec.build(spec.config(), "audio", EncoderHome())
    deaf.content = lambda turn: None if "#" in turn.utterance.id else "x"

    with pytest.raises(MerkitError, match=r"encoders.audio: cannot encode the augmented view 'u0#0-"):
        open_views(made, {"audio": deaf}, manifest.root / "features", None)


VALUES: dict[str, Any] = {
    "model": "mmer",
    "protocol": "table",
    "encoders": {"text": {"name": "bert"}, "audio": {"name": "logmel"}},
}


@pytest.mark.parametrize(
    ("views", "told"),
    [
        (None, r"views: is missing; 'mmer'"),
        ({"count": 2}, "views: names no engine"),
        ({"text": {"name": "perturb"}}, "views.text: 'perturb' is for audio, not for text"),
        ({"text": {"name": "edti"}}, "views.text.name: No view engine named 'edti'. Did you mean 'edit'?"),
        ({"text": {"drop": 0.1}}, "views.text: 'name' is missing"),
        ({"text": {"name": "edit", "drp": 0.1}}, "views.text: No key named 'drp'. Did you mean 'drop'?"),
        ({"count": 0, "text": {"name": "edit"}}, "views.count = 0"),
    ],
)
def test_a_mistake_in_views_is_told(views: dict[str, Any] | None, told: str) -> None:
    values = VALUES if views is None else {**VALUES, "views": views}

    with pytest.raises(ConfigError, match=told if views is None else re.escape(told)):
        check_recipe(values, "r.toml")


def test_views_are_for_models_that_read_them_and_need_not_be_there_for_an_ablation() -> None:
    views = {"text": {"name": "edit"}}
    with pytest.raises(ConfigError, match="'concat' reads no augmented views"):
        check_recipe({**VALUES, "model": "concat", "views": views}, "r.toml")

    without = check_recipe({**VALUES, "config": {"augmented_weight": 0.0}}, "r.toml")
    assert "views" not in without.transforms
    assert "views" not in without.resolved()
    resolved = check_recipe({**VALUES, "views": views}, "r.toml").resolved()
    assert resolved["views"] == {"count": 2, "text": {"name": "edit", "drop": 0.1, "reach": 2}}
    assert check_recipe(resolved, "again").resolved() == resolved
