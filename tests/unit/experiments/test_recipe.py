import tomllib
from pathlib import Path

import pytest
from tests.tiny import recipe_values, write_recipe

from merkit.core.errors import ConfigError
from merkit.experiments.mistakes import check_options
from merkit.experiments.recipe_reader import check_recipe, read_recipe
from merkit.experiments.shipped import shipped_folder
from merkit.training.config import TrainingConfig

SHIPPED = sorted(shipped_folder("recipes").rglob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[str(path.relative_to(shipped_folder("recipes"))) for path in SHIPPED])
def test_every_shipped_recipe_is_valid_and_lies_in_its_models_folder(path: Path) -> None:
    recipe = read_recipe(path)

    assert recipe.model.name == path.parent.name
    assert path.stem.startswith(recipe.protocol.name)


def test_there_are_shipped_recipes() -> None:
    assert len(SHIPPED) > 10


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = check_recipe(recipe_values("concat"), "here")
    (tmp_path / "again.toml").write_text(recipe.to_toml())

    again = read_recipe(tmp_path / "again.toml")

    assert again.resolved() == recipe.resolved()
    assert tomllib.loads(recipe.to_toml())["training"]["precision"] == "float32"


def test_overrides_go_in_before_checking(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "r.toml", recipe_values("concat"))

    recipe = read_recipe(
        path, ["training.epochs=7", "config.hidden_size=32", "options.group=speaker", "training.clip=0.5"]
    )

    assert recipe.training.epochs == 7
    assert recipe.resolved()["config"]["hidden_size"] == 32
    assert recipe.resolved()["options"]["group"] == "speaker"


def test_an_override_without_a_value_takes_the_key_out(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "r.toml", {**recipe_values("concat"), "seeds": 7})

    assert read_recipe(path, ["seeds="]).seeds == 3
    assert read_recipe(path, ["training.epochs="]).training.epochs == 30


@pytest.mark.parametrize("override", ["training.epochs", "=3", "model.name=3", "training.epoch=", "trainin.epochs="])
def test_an_override_without_key_or_place_is_an_error(tmp_path: Path, override: str) -> None:
    path = write_recipe(tmp_path / "r.toml", recipe_values("concat"))

    with pytest.raises(ConfigError, match="--set"):
        read_recipe(path, [override])


def test_one_mistake_is_one_line_with_file_key_value_and_what_is_allowed() -> None:
    values = recipe_values("concat", precision="bf32")

    with pytest.raises(ConfigError) as told:
        check_recipe(values, "r.toml")

    assert str(told.value) == "r.toml: training.precision = 'bf32': input should be 'float32', 'bf16', 'fp16' or 'auto'"


def test_a_word_in_place_of_a_list_is_told_in_the_words_of_the_file() -> None:
    values = {**recipe_values("bag_of_words"), "protocol": "table", "options": {"leave_out": "sad"}}

    with pytest.raises(ConfigError, match=r"leave_out = 'sad': input should be a list, such as \['a', 'b'\]"):
        check_recipe(values, "r.toml")


def test_a_prior_exponent_without_the_loss_that_reads_it_is_an_error() -> None:
    values = {**recipe_values("concat"), "loss": {"kind": "focal", "prior_exponent": 0.5}}

    with pytest.raises(ConfigError, match=r"prior_exponent is for kind = 'logit_adjusted', found 'focal'"):
        check_recipe(values, "r.toml")


def test_balanced_batches_are_for_models_of_utterances() -> None:
    assert check_recipe(recipe_values("concat", balanced=True), "r.toml").training.balanced
    with pytest.raises(ConfigError, match=r"training.balanced = true: is for models of utterances; 'bc_lstm' reads"):
        check_recipe(recipe_values("bc_lstm", balanced=True), "r.toml")
    with pytest.raises(ConfigError, match="balanced counts the utterances of a batch, batch_seconds their seconds"):
        check_recipe(recipe_values("concat", balanced=True, batch_seconds=30.0), "r.toml")


def test_a_model_without_gradients_takes_no_weights_for_them() -> None:
    with pytest.raises(
        ConfigError, match=r"loss: 'bag_of_words' is fitted without gradients.*config has class_weights"
    ):
        check_recipe({**recipe_values("bag_of_words"), "loss": {"class_weights": "inverse"}}, "r.toml")
    with pytest.raises(ConfigError, match=r"training.balanced = true: 'linear' is fitted without gradients"):
        check_recipe(recipe_values("linear", balanced=True), "r.toml")


def test_options_that_a_stage_leaves_out_are_those_of_the_recipe_that_names_it() -> None:
    stage = {**recipe_values("single"), "options": {"label": "mood"}}
    values = {**recipe_values("bc_lstm"), "options": {"label": "mood", "group": "speaker"}}
    values["encoders"] = {"audio": {"name": "checkpoint", "recipe": stage}}

    recipe = check_recipe(values, "r.toml")

    assert recipe.extractors["audio"].options == recipe.options


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"training: No key named 'epoch'. Did you mean 'epochs'\?"):
        check_recipe(recipe_values("concat", epoch=3), "r.toml")


def test_all_mistakes_are_listed_at_once() -> None:
    values = recipe_values("concat", epochs=-1)
    values["config"] = {"hiden": 3}
    values["encoders"]["audio"]["featuers"] = "x"
    values["encoders"]["sound"] = {"name": "praat"}
    values["protocol"] = "meld77"
    values["wrong"] = 1

    with pytest.raises(ConfigError) as told:
        check_recipe(values, "r.toml")

    message = str(told.value)
    assert message.startswith("r.toml: 6 mistakes:")
    for part in ("'wrong'", "epochs = -1", "'meld77'. Did you mean 'meld7'", "'hiden'", "'featuers'", "'sound'"):
        assert part in message


def test_encoders_must_suit_their_modality_and_the_model() -> None:
    values = recipe_values("concat")
    values["encoders"] = {"text": {"name": "praat"}}
    with pytest.raises(ConfigError, match=r"encoders.text: 'praat' is for audio, not for text"):
        check_recipe(values, "r.toml")
    values["encoders"] = {}
    with pytest.raises(ConfigError, match=r"encoders: 0 found, 'concat' takes"):
        check_recipe(values, "r.toml")
    values["encoders"] = {"audio": {}}
    with pytest.raises(ConfigError, match=r"encoders.audio: 'name' is missing"):
        check_recipe(values, "r.toml")


@pytest.mark.parametrize("content", ["model = ", "\xff"])
def test_a_file_that_is_no_toml_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(content, encoding="latin-1")

    with pytest.raises(ConfigError, match=r"r\.toml"):
        read_recipe(path)


def test_a_missing_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No recipe"):
        read_recipe(tmp_path / "none.toml")


def test_missing_model_and_protocol_are_both_told() -> None:
    with pytest.raises(ConfigError, match=r"model: is missing\n  protocol: is missing"):
        check_recipe({}, "r.toml")


def test_settings_outside_a_recipe_are_checked_alike() -> None:
    assert check_options(TrainingConfig, {"epochs": 2}, "here").epochs == 2
    with pytest.raises(ConfigError, match=r"here: .*Did you mean 'epochs'"):
        check_options(TrainingConfig, {"epoch": 2}, "here")


def test_settings_of_training_that_no_encoder_leaves_anything_to_do_are_errors() -> None:
    values = {"model": "single", "protocol": "parley", "encoders": {"text": {"name": "bert"}}}

    with pytest.raises(ConfigError) as caught:
        check_recipe({**values, "training": {"batch_seconds": 30.0, "layer_decay": 0.9}}, "r.toml")

    assert "training.batch_seconds = 30.0: there is no [encoders.audio] to bound" in str(caught.value)
    assert "training.layer_decay = 0.9: no encoder is trained (frozen = false)" in str(caught.value)
    trained = {"text": {"name": "bert", "frozen": False}}
    assert check_recipe({**values, "encoders": trained, "training": {"layer_decay": 0.9}}, "r.toml")


def test_adapters_in_a_recipe_read_back_and_mistakes_in_them_are_told(tmp_path: Path) -> None:
    lora = {"rank": 4, "targets": ["query"]}
    values = {
        "model": "single",
        "protocol": "parley",
        "encoders": {"text": {"name": "bert", "frozen": False, "lora": lora}},
    }

    recipe = check_recipe(values, "r.toml")
    (tmp_path / "again.toml").write_text(recipe.to_toml())

    assert read_recipe(tmp_path / "again.toml").resolved() == recipe.resolved()
    assert recipe.resolved()["encoders"]["text"]["lora"] == {"alpha": 8.0, "dropout": 0.0, **lora}
    with pytest.raises(ConfigError, match=r"encoders\.text\.lora: No key named 'rnak'\. Did you mean 'rank'"):
        read_recipe(tmp_path / "again.toml", ["encoders.text.lora.rnak=4"])
