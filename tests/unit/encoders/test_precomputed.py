from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from merkit.core.batch import Padded
from merkit.core.corpus import PublishedFeatures
from merkit.core.encoder import EncoderHome
from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.data.features.published import write_published
from merkit.encoders.precomputed import SPEC, Precomputed, PrecomputedConfig

ROWS = {
    "u0": np.array([[1.0, 10.0]], dtype=np.float32),
    "u1": np.array([[3.0, np.nan]], dtype=np.float32),
    "u2": np.array([[5.0, 30.0], [7.0, 40.0]], dtype=np.float32),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, modality in (("praat", "audio"), ("words", "text")):
        write_published(
            tmp_path / "precomputed" / name, PublishedFeatures(name, modality, ROWS, ("first s", "second Hz"))
        )
    return tmp_path


def build(data: Path | None, assets: Path | None = None, modality: str = "audio", **settings: object) -> Precomputed:
    config = PrecomputedConfig(**{"features": "praat", **settings})
    return SPEC.build(config, modality, EncoderHome(data=data, assets=assets))


def turn(identity: str) -> Turn:
    return Turn(Utterance(identity, "c", 0, "s"), (), Path())


def test_arrays_come_out_as_they_were_published(data):
    encoder = build(data)

    arrays = encoder.extract([turn("u2"), turn("u0"), turn("u1")])

    for array, name in zip(arrays, ("u2", "u0", "u1"), strict=True):
        np.testing.assert_array_equal(array, ROWS[name])
    assert (encoder.dim, encoder.columns) == (2, ("first s", "second Hz"))
    assert encoder.blank().shape == (1, 2)
    assert not encoder.stored


def test_an_utterance_without_a_row_lacks_the_modality(data):
    assert build(data).content(turn("u3")) is None


def test_content_follows_the_row_and_not_the_name(data, tmp_path):
    other = {"u0": ROWS["u0"].copy(), "u1": ROWS["u0"].copy(), "u2": ROWS["u0"] + 1}
    write_published(tmp_path / "new" / "precomputed" / "praat", PublishedFeatures("praat", "audio", other))
    old, new = build(data), build(tmp_path / "new")

    assert old.content(turn("u0")) == new.content(turn("u0")) == new.content(turn("u1"))
    assert new.content(turn("u2")) != new.content(turn("u0"))


def test_arrays_that_are_offered_anew_take_the_place_of_those_before(data):
    encoder = build(data)
    before = encoder.content(turn("u0")), encoder.extract([turn("u0")])[0]

    encoder.offer({"u0": np.full_like(before[1], 7.0)})
    assert encoder.content(turn("u0")) != before[0]
    assert (encoder.extract([turn("u0")])[0] == 7.0).all()

    encoder.offer({"u0": np.full_like(before[1], np.inf)})
    with pytest.raises(MerkitError, match="infinite"):
        encoder.extract([turn("u0")])


def test_columns_are_standardised_with_training_statistics_and_undefined_is_the_mean(data):
    encoder = build(data)
    encoder.fit([ROWS["u0"], ROWS["u2"][:1]])

    output = encoder(Padded(torch.from_numpy(ROWS["u1"])[None], torch.tensor([[True]])))

    assert output.data.tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize(
    ("features", "modality", "given", "scaled"),
    [
        ("words", "text", None, False),
        ("praat", "audio", None, True),
        ("words", "text", True, True),
        ("praat", "audio", False, False),
    ],
)
def test_text_is_left_alone_and_the_rest_is_standardised_unless_told_otherwise(data, features, modality, given, scaled):
    encoder = build(data, features=features, modality=modality, standardise=given)
    encoder.fit([ROWS["u0"], ROWS["u2"]])

    output = encoder(Padded(torch.tensor([[[9.0, 90.0], [1e3, 1e3]]]), torch.tensor([[True, False]])))

    assert (output.data[0, 0].tolist() != [9.0, 90.0]) == scaled
    assert output.data[0, 1].tolist() == [0.0, 0.0]


def test_features_are_dropped_in_training_alone_and_the_rest_made_up_for(data):
    encoder = build(data, features="words", modality="text", dropout=0.25)
    ones = Padded(torch.ones(200, 5, 2), torch.ones(200, 5, dtype=torch.bool))

    trained, asked = encoder.train()(ones).data, encoder.eval()(ones).data

    assert trained.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert 0.2 < float((trained == 0).float().mean()) < 0.3  # 2000 draws: seven deviations either side
    assert (asked == 1.0).all()


def test_a_checkpoint_keeps_its_dim_and_says_what_it_cannot_know_when_asked_for_a_recording(data, tmp_path):
    build(data).save_assets(tmp_path / "assets")

    restored = build(tmp_path / "elsewhere", assets=tmp_path / "assets")

    assert (restored.dim, restored.columns) == (2, ("first s", "second Hz"))
    for ask in (restored.content, lambda asked: restored.extract([asked])):
        with pytest.raises(
            MerkitError, match="trained on published features 'praat' and cannot know how they were made"
        ):
            ask(turn("u0"))


def test_a_checkpoint_works_on_another_corpus_that_has_the_features(data, tmp_path):
    build(data).save_assets(tmp_path / "assets")

    restored = build(data, assets=tmp_path / "assets")

    np.testing.assert_array_equal(restored.extract([turn("u0")])[0], ROWS["u0"])


def test_features_of_another_dim_do_not_fit_a_checkpoint(data, tmp_path):
    build(data).save_assets(tmp_path / "assets")
    wide = PublishedFeatures("praat", "audio", {"u0": np.zeros((1, 3), dtype=np.float32)})
    write_published(tmp_path / "wide" / "precomputed" / "praat", wide)

    with pytest.raises(MerkitError, match="have 3 columns, the checkpoint was trained on 2"):
        build(tmp_path / "wide", assets=tmp_path / "assets")


def test_features_that_are_not_there_are_an_error_that_names_those_that_are(data):
    with pytest.raises(MerkitError, match=r"'praatt'.*Known: praat, words"):
        build(data, features="praatt")


def test_training_without_a_corpus_is_an_error():
    with pytest.raises(MerkitError, match="lie in a prepared corpus; none was given"):
        build(None)


def test_features_of_another_modality_are_refused(data):
    with pytest.raises(ConfigError, match=r"'words' are text, the recipe uses them as audio.*\[encoders\.text\]"):
        build(data, features="words")


def test_undefined_values_need_standardisation(data):
    with pytest.raises(MerkitError, match=r"'u1'.*set standardise = true"):
        build(data, standardise=False).extract([turn("u1")])


def test_infinite_values_name_the_utterance(tmp_path):
    rows = {"u9": np.array([[np.inf]], dtype=np.float32)}
    write_published(tmp_path / "precomputed" / "praat", PublishedFeatures("praat", "audio", rows))

    with pytest.raises(MerkitError, match=r"'u9'.*infinite"):
        build(tmp_path).extract([turn("u9")])


@pytest.mark.parametrize("content", [None, "{", '{"dim": "two"}', "[]"])
def test_a_checkpoint_with_broken_assets_is_an_error(data, tmp_path, content):
    folder = tmp_path / "assets"
    folder.mkdir()
    if content is not None:
        (folder / "features.json").write_text(content)

    with pytest.raises(CheckpointError, match=r"features\.json"):
        build(data, assets=folder)


@pytest.mark.parametrize("name", ["", "..", "../praat", "a/b"])
def test_a_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(ValidationError):
        PrecomputedConfig(features=name)


def test_describing_says_what_a_model_card_needs(data):
    described = build(data).describe()

    assert described["features"] == "praat"
    assert described["standardised"]
    assert build(data).fingerprint()["features"] == "praat"
