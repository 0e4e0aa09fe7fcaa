"""Two stages in one command: a fine-tuned utterance model, then a conversation model on its vectors, in one folder."""

import json
import random
import shutil
import signal
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from safetensors.numpy import load_file
from tests.checkpoints import reseal
from tests.commandline import Called, call
from tests.e2e.test_kill import command
from tests.miniature import write_tone
from tests.tiny import LABELS, copy_without_validation, recipe_values, write_corpus, write_recipe
from tests.unit.encoders.conftest import tiny_bert

from merkit.core.batch import ModelOutput
from merkit.core.types import Utterance
from merkit.data.collate import Example, collate
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.encoders import checkpoint as checkpoint_encoder
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.experiments.transforms.cross_fitted_features import CrossFittedFeatures
from merkit.io.checkpoint import build_encoders, choose_encoders, load_checkpoint
from merkit.io.trained_on import name_hash, read_trained_on
from merkit.models.single import Single
from merkit.reporting.results import gather

__all__ = ["tiny_bert"]

PARTS = 3


def stage_values(tiny_bert: Path, **training: Any) -> dict[str, Any]:
    """A network that is fine-tuned on texts with one turn of context."""
    values = recipe_values("single", epochs=1, **training)
    values["encoders"] = {"text": {"name": "bert", "weights": str(tiny_bert), "frozen": False, "context": 1}}
    values["training"]["learning_rates"] = {"encoders": 1e-4, "head": 1e-2}
    return values


def two_stage_values(stage: Any, **keys: Any) -> dict[str, Any]:
    values = recipe_values("bc_lstm", epochs=2)
    values["encoders"]["text"] = {"name": "checkpoint", "recipe": stage, **keys}
    return values


def trained(home: Path, name: str) -> Path:
    return next((home / name).glob("fold-*/seed-0/checkpoint"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A corpus and runs of both kinds, begun from recipe files: ``plain`` and ``crossed``."""
    folder = tmp_path_factory.mktemp("two-stage")
    write_corpus(folder / "data", conversations=20)
    write_recipe(folder / "stage.toml", stage_values(tiny_bert))
    for name, cross_fit in (("plain", 0), ("crossed", PARTS)):
        recipe = write_recipe(folder / f"{name}.toml", two_stage_values("stage.toml", cross_fit=cross_fit))
        done = train(folder, recipe, name)
        assert done.code == 0, done.error
    return folder


def train(home: Path, recipe: Path, name: str, *more: object, data: Path | None = None) -> Called:
    return call("-q", "train", recipe, "--data", data or home / "data", "--out", home / name, *more)


@pytest.mark.parametrize("name", ["plain", "crossed"])
def test_one_folder_goes_from_words_to_the_stored_predictions(home: Path, name: str, tmp_path: Path) -> None:
    shutil.copytree(trained(home, name), tmp_path / "moved")
    shutil.copytree(home / "data", tmp_path / "data", ignore=shutil.ignore_patterns("features"))

    out = tmp_path / "p.parquet"
    done = call("-q", "predict", tmp_path / "data", "--checkpoint", tmp_path / "moved", "--out", out)

    assert done.code == 0, done.error
    stored = pq.read_table(trained(home, name).parent / "predictions.parquet").to_pylist()
    again = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    assert {row["split"] for row in stored} == {"train", "valid", "test"}
    for row in stored:
        assert row["modalities"] == again[row["id"]]["modalities"]
        for label in LABELS:
            assert row[f"p:{label}"] == pytest.approx(again[row["id"]][f"p:{label}"], abs=1e-4)


def test_every_training_conversation_was_encoded_by_a_model_that_had_not_learned_from_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(home / "data" / "features")
    shutil.rmtree(trained(home, "crossed").parent)
    encoded: dict[str, set[Path]] = {}
    real = checkpoint_encoder.FeatureExtractor.extract

    def watched(self: checkpoint_encoder.FeatureExtractor, turns: Any) -> Any:
        for turn in turns:
            encoded.setdefault(turn.utterance.id, set()).add(self.folder)
        return real(self, turns)

    monkeypatch.setattr(checkpoint_encoder.FeatureExtractor, "extract", watched)
    assert train(home, home / "crossed.toml", "crossed").code == 0

    utterances = read_manifest(home / "data").utterances
    whole = next((home / "crossed" / "feature-extractors" / "text").glob("fold-*/seed-0/checkpoint"))
    parts = sorted(
        (home / "crossed" / "feature-extractors" / "text" / "cross-fit").glob("fold-*/seed-0/part-*/checkpoint")
    )
    assert len(parts) == PARTS
    of_split = {
        split: {u.id for u in utterances if u.attributes["split"] == split} for split in ("train", "valid", "test")
    }
    assert read_trained_on(whole) == {name_hash(id_) for id_ in of_split["train"]}
    for utterance in utterances:
        others = encoded[utterance.id] - {whole}
        assert whole in encoded[utterance.id]  # what the stored predictions are made of
        assert len(others) == (utterance.id in of_split["train"])
        for other in others:
            conversation = {u.id for u in utterances if u.conversation == utterance.conversation}
            assert not read_trained_on(other) & {name_hash(id_) for id_ in conversation}
    assert all(read_trained_on(part) < read_trained_on(whole) for part in parts)


def test_downstream_model_learns_from_cross_fitted_vectors(home: Path) -> None:
    weights = [load_file(trained(home, name) / "model.safetensors") for name in ("plain", "crossed")]
    extractors = [
        load_file(trained(home, name) / "encoders" / "text" / "model.safetensors") for name in ("plain", "crossed")
    ]

    assert all((extractors[0][key] == extractors[1][key]).all() for key in extractors[0])
    assert any((weights[0][key] != weights[1][key]).any() for key in weights[0])


@pytest.mark.parametrize(("name", "told"), [("plain", "not cross-fitted"), ("crossed", f"cross-fitted ({PARTS})")])
def test_card_scores_and_report_say_how_the_vectors_were_made(
    home: Path, tiny_bert: Path, name: str, told: str
) -> None:
    assert json.loads((home / name / "scores.json").read_text())["features"] == told
    assert f"features {told}" in (trained(home, name) / "README.md").read_text()
    first, second = gather([home / name / "feature-extractors" / "text", home / name])[0].entries
    made_of = f"bert ({tiny_bert.name}, fine-tuned)"
    assert first.features == f"text: {made_of}"
    assert second.features == f"audio: published features (sound); text: single on {made_of}, {told}"


def test_downstream_model_holds_no_weight_of_the_feature_extractor_twice(home: Path) -> None:
    state = load_file(trained(home, "plain") / "model.safetensors")
    model, _ = load_checkpoint(trained(home, "plain"), home / "data")

    assert not [key for key in state if "network" in key or "text.head" in key]
    assert not [name for name, _ in model.named_parameters() if name.startswith("encoders.text")]


def test_a_finished_feature_extractor_is_used_again_and_its_vectors_are_extracted_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(home, home / "crossed.toml", "crossed").code == 0
    cells = sorted((home / "crossed" / "feature-extractors").rglob("cell.json"))
    before = [cell.stat().st_mtime_ns for cell in cells]
    shutil.rmtree(trained(home, "crossed").parent)
    monkeypatch.setattr(checkpoint_encoder.FeatureExtractor, "extract", None)

    assert train(home, home / "crossed.toml", "crossed").code == 0

    assert len(cells) == 1 + PARTS
    assert [cell.stat().st_mtime_ns for cell in cells] == before


def test_runs_may_share_a_feature_extractor(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home / "crossed" / "feature-extractors", tmp_path / "shared")
    monkeypatch.setattr(checkpoint_encoder.FeatureExtractor, "extract", None)
    values = {**tomllib.loads((home / "crossed" / "recipe.toml").read_text()), "config": {"hidden_size": 8}}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "shared").rglob("model.safetensors")}

    options = ("--feature-extractors", tmp_path / "shared")
    done = train(tmp_path, write_recipe(tmp_path / "r.toml", values), "run", *options, data=home / "data")

    assert done.code == 0, done.error
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shared").rglob("model.safetensors")} == before
    assert len(before) == 1 + PARTS
    assert not (tmp_path / "run" / "feature-extractors").exists()


def test_an_ensemble_has_the_vectors_of_all_its_seeds_for_every_seed_of_downstream_model(
    home: Path, tmp_path: Path
) -> None:
    values = {**two_stage_values(str(home / "stage.toml"), ensemble=3), "seeds": 2}

    done = train(home, write_recipe(tmp_path / "r.toml", values), str(tmp_path / "run"))

    assert done.code == 0, done.error
    run = tmp_path / "run"
    singles = [
        load_checkpoint(path)[0]
        for path in sorted((run / "feature-extractors" / "text").glob("fold-*/seed-*/checkpoint"))
    ]
    both = [load_checkpoint(path, home / "data")[0] for path in sorted(run.glob("fold-*/seed-*/checkpoint"))]
    assert (len(singles), len(both)) == (3, 2)
    manifest = read_manifest(home / "data")
    turns = list(manifest.turns([u.id for u in manifest.utterances][:12], context=1))
    texts = [single.encoders["text"].extract(turns) for single in singles]
    batches = [
        collate(
            [[Example(str(n), "", {"text": a}, None)] for n, a in enumerate(t)],
            "utterance",
            False,
            {"text": single.encoders["text"].blank()},
        )
        for t, single in zip(texts, singles, strict=True)
    ]
    with torch.inference_mode():
        alone = [single(batch).auxiliary["embedding"].numpy() for single, batch in zip(singles, batches, strict=True)]
    assert abs(alone[0] - alone[1]).max() > 1e-3
    for model in both:
        found = np.concatenate(model.encoders["text"].extract(turns))
        np.testing.assert_allclose(found, np.concatenate(alone, axis=1), rtol=0, atol=1e-5)
    assert json.loads((run / "scores.json").read_text())["features"] == "3 seeds side by side for all, not cross-fitted"
    copies = [path.stat().st_mtime_ns for path in run.rglob("ensemble/**/model.safetensors")]
    assert len(copies) == 3
    assert train(home, tmp_path / "r.toml", str(run)).code == 0
    assert [path.stat().st_mtime_ns for path in run.rglob("ensemble/**/model.safetensors")] == copies
    out = tmp_path / "p.parquet"
    shutil.copytree(trained(tmp_path, "run"), tmp_path / "moved")
    assert call("-q", "predict", home / "data", "--checkpoint", tmp_path / "moved", "--out", out).code == 0
    again = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    for row in pq.read_table(trained(tmp_path, "run").parent / "predictions.parquet").to_pylist():
        assert row["p:calm"] == pytest.approx(again[row["id"]]["p:calm"], abs=1e-4)


@pytest.mark.parametrize("members", [1, 2])
def test_an_ensemble_may_be_cross_fitted_and_every_seed_of_downstream_model_learns_from_the_same(
    home: Path, tmp_path: Path, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**two_stage_values(str(home / "stage.toml"), ensemble=members, cross_fit=2), "seeds": 2}
    learned: list[frozenset[tuple[Path, ...]]] = []
    real = CrossFittedFeatures.apply

    def watched(self: CrossFittedFeatures, *arguments: Any) -> Any:
        cell, parts = self.cell, self.parts["text"]
        covered = [conversation for part in parts for conversation in part.conversations]
        assert sorted(covered) == sorted({cell.manifest.by_id[name].conversation for name in cell.fold.train})
        for part in parts:
            assert len(part.checkpoints) == members
            held = {name_hash(u.id) for u in cell.manifest.utterances if u.conversation in part.conversations}
            assert not any(held & read_trained_on(checkpoint) for checkpoint in part.checkpoints)
        learned.append(frozenset(part.checkpoints for part in parts))
        return real(self, *arguments)

    monkeypatch.setattr(CrossFittedFeatures, "apply", watched)
    recipe = check_recipe(values, str(home / "stage.toml"))
    train_recipe(recipe, home / "data", tmp_path / "run")

    assert len(learned) == 2
    assert learned[0] == learned[1]
    assert len(learned[0]) == 2
    parts = list(
        (tmp_path / "run" / "feature-extractors" / "text" / "cross-fit").glob("fold-*/seed-*/part-*/cell.json")
    )
    assert len(parts) == 2 * members


def test_an_ensemble_needs_one_validation_part_for_all_its_seeds(home: Path, tmp_path: Path, tiny_bert: Path) -> None:
    copy_without_validation(home / "data", tmp_path / "data")
    recipe = write_recipe(tmp_path / "r.toml", two_stage_values(stage_values(tiny_bert), ensemble=2))

    done = train(tmp_path, recipe, "run", data=tmp_path / "data")

    assert done.code == 2
    assert "draws another validation split for every seed" in done.error


def test_the_runs_recipe_is_complete_and_trains_the_same_again(home: Path, tmp_path: Path) -> None:
    assert train(home, home / "plain" / "recipe.toml", str(tmp_path / "again")).code == 0

    ours, theirs = (
        load_file(trained(folder, name) / "model.safetensors")
        for folder, name in ((home, "plain"), (tmp_path, "again"))
    )
    assert all((ours[key] == theirs[key]).all() for key in ours)


def test_a_trained_checkpoint_may_be_named(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(
        next((home / "plain" / "feature-extractors" / "text").glob("fold-*/seed-0/checkpoint")), tmp_path / "first"
    )
    values = recipe_values("bc_lstm", epochs=2)
    values["encoders"]["text"] = {"name": "checkpoint", "checkpoint": str(folder)}

    done = train(home, write_recipe(tmp_path / "named.toml", values), str(tmp_path / "named"))

    assert done.code == 0, done.error
    ours, theirs = (load_file(trained(a, b) / "model.safetensors") for a, b in ((home, "plain"), (tmp_path, "named")))
    assert all((ours[key] == theirs[key]).all() for key in ours)
    assert json.loads((tmp_path / "named" / "scores.json").read_text())["features"] == "not cross-fitted"
    assert "text: a trained model, not cross-fitted" in gather([tmp_path / "named"])[0].entries[0].features
    assert read_trained_on(trained(tmp_path, "named")) == read_trained_on(folder)
    shutil.rmtree(folder)
    options = ("--checkpoint", trained(tmp_path, "named"), "--out", tmp_path / "p.csv")
    assert call("-q", "predict", home / "data", *options).code == 0  # the feature extractor in it is all it needs


def test_a_setting_of_the_feature_extractor_can_be_overridden(home: Path, tmp_path: Path) -> None:
    override = "encoders.text.recipe.training.epochs=2"

    assert train(home, home / "plain.toml", str(tmp_path / "longer"), "--set", override).code == 0

    (history,) = (tmp_path / "longer" / "feature-extractors" / "text").glob("fold-*/seed-0/history.jsonl")
    assert history.read_text().count("\n") == 2


def test_no_stage_reads_a_label_of_the_test_part(home: Path, tmp_path: Path) -> None:
    turned = {name: LABELS[(number + 1) % 3] for number, name in enumerate(LABELS)}
    manifest = write_corpus(tmp_path / "data", conversations=20)
    spoiled = []
    for utterance in manifest.utterances:
        if utterance.attributes["split"] == "test":
            utterance.attributes["label"] = turned[str(utterance.attributes["label"])]  # type: ignore[index]
        spoiled.append(utterance)
    write_manifest(tmp_path / "data", spoiled, name="tiny", version=1)

    assert train(tmp_path, home / "crossed.toml", "run").code == 0

    for ours in sorted((home / "crossed").rglob("model.safetensors")):
        theirs = load_file(tmp_path / "run" / ours.relative_to(home / "crossed"))
        assert all((tensor == theirs[key]).all() for key, tensor in load_file(ours).items())
    tables = [
        pq.read_table(trained(a, b).parent / "predictions.parquet") for a, b in ((home, "crossed"), (tmp_path, "run"))
    ]
    assert tables[0].equals(tables[1])


def test_logits_may_stand_beside_the_embedding(home: Path, tiny_bert: Path) -> None:
    folder = trained(home, "plain") / "encoders" / "text"

    def built(*outputs: str) -> Any:
        settings = {"text": {"name": "checkpoint", "checkpoint": str(folder), "outputs": list(outputs)}}
        return build_encoders(choose_encoders(settings), None, None)["text"]

    turns = list(read_manifest(home / "data").turns(None, 1))[:7]
    both, embedding, logits = built("embedding", "logits"), built("embedding"), built("logits")

    assert (both.dim, embedding.dim, logits.dim) == (35, 32, 3)
    for row, vector in enumerate(both.extract(turns)):
        apart = [encoder.extract(turns)[row] for encoder in (embedding, logits)]
        np.testing.assert_allclose(vector, np.concatenate(apart, axis=1), atol=1e-6)
    assert both.fingerprint() != embedding.fingerprint()


def test_a_model_that_offers_no_embedding_is_refused_before_it_is_trained(
    home: Path, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Single.forward
    monkeypatch.setattr(Single, "forward", lambda self, batch: ModelOutput(real(self, batch).logits))

    refused(home, tmp_path, two_stage_values(stage_values(tiny_bert)), "'single' offers no embedding")


def refused(home: Path, tmp_path: Path, values: dict[str, Any], told: str) -> None:
    done = train(home, write_recipe(tmp_path / "r.toml", values), str(tmp_path / "run"))

    assert done.code == 2, done.out
    assert told in done.error
    assert done.error.count("\n") == 1, done.error
    assert not list((tmp_path / "run").rglob("history.jsonl"))


def test_mistakes_in_a_feature_extractor_that_is_trained(home: Path, tmp_path: Path, tiny_bert: Path) -> None:
    stage = stage_values(tiny_bert)
    where = "encoders.text.recipe"
    for values, told in [
        (two_stage_values("none.toml"), "No recipe named 'none.toml'"),
        (two_stage_values({**stage, "protocol": "parley"}), f"{where}.protocol = 'parley': both recipes need 'table'"),
        (
            two_stage_values({**stage, "options": {"label": "mood"}}),
            f"{where}.options: differ from those of the recipe that names it",
        ),
        (two_stage_values(recipe_values("single")), f"{where}.encoders: audio found, expected text alone"),
        (two_stage_values({**stage, "sedes": 1}), f"{where}: top level: No key named 'sedes'"),
        (two_stage_values(two_stage_values(stage)), f"{where}: has a feature extractor of its own"),
        (two_stage_values(stage, cross_fit=1), "cross_fit = 1 leaves nothing to learn from"),
        (two_stage_values(stage, cross_fit=99), "cross_fit = 99: the training split has only 12 conversations"),
        (two_stage_values(stage, checkpoint="x"), "give either 'recipe'"),
    ]:
        refused(home, tmp_path, values, told)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_mistakes_in_a_feature_extractor_that_is_named(home: Path, tmp_path: Path) -> None:
    named = next((home / "plain" / "feature-extractors" / "text").glob("fold-*/seed-0/checkpoint"))

    def naming(folder: Path, **more: Any) -> dict[str, Any]:
        values = recipe_values("bc_lstm", epochs=1)
        values["encoders"]["text"] = {"name": "checkpoint", "checkpoint": str(folder), **more}
        return values

    def changed(name: str, file: str, **keys: Any) -> Path:
        shutil.copytree(named, tmp_path / name)
        content = json.loads((tmp_path / name / file).read_text())
        (tmp_path / name / file).write_text(json.dumps({**content, **keys}))
        return reseal(tmp_path / name)

    test = next(u.id for u in read_manifest(home / "data").utterances if u.attributes["split"] == "test")
    other_labels = changed("labels", "config.json", labels=["calm", "glad", "cross"])
    leaky = changed("leaky", "provenance.json", trained_on={"utterances": name_hash(test)})
    silent = changed("silent", "provenance.json", trained_on=None)
    for values, told in [
        (naming(tmp_path / "none"), "No checkpoint in"),
        (naming(other_labels), "its classes are calm, glad, cross, those of protocol 'table' are calm, cross, glad"),
        (naming(leaky), "has learned from 1 of the 20 utterances in the test split of fold"),
        (naming(silent), "does not record the utterances of training"),
        (naming(trained(home, "plain")), "'bc_lstm' reads audio and text, in [encoders.text] it must"),
        (naming(named, cross_fit=3), "cross_fit needs a recipe"),
        (naming(named, ensemble=2), "ensemble needs a recipe"),
    ]:
        refused(home, tmp_path, values, told)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_a_feature_extractor_checkpoint_that_lost_a_tensor_is_refused(home: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    shutil.copytree(trained(home, "plain"), tmp_path / "short")
    path = tmp_path / "short" / "encoders" / "text" / "model.safetensors"
    state = load_file(path)
    lost = sorted(state)[0]
    save_file({key: tensor for key, tensor in state.items() if key != lost}, path)
    reseal(path.parent)
    reseal(tmp_path / "short")

    done = call("-q", "predict", home / "data", "--checkpoint", tmp_path / "short", "--out", tmp_path / "p.csv")

    assert done.code == 2
    assert lost in done.error


def test_the_feature_extractor_for_the_features_command(home: Path, tmp_path: Path) -> None:
    folder = trained(home, "plain") / "encoders" / "text"
    arguments = ("--encoder", "checkpoint", "--modality", "text", "--set", f"checkpoint={folder}")

    done = call("-q", "features", home / "data", *arguments, "--features", tmp_path / "store")

    assert done.code == 0, done.error
    assert "100 utterances extracted" in done.out


def test_python_callers_get_the_same(home: Path, tmp_path: Path, tiny_bert: Path) -> None:
    recipe = check_recipe(two_stage_values(stage_values(tiny_bert)), "here")

    train_recipe(recipe, home / "data", tmp_path / "run")

    ours, theirs = (load_file(trained(a, b) / "model.safetensors") for a, b in ((home, "plain"), (tmp_path, "run")))
    assert all((ours[key] == theirs[key]).all() for key in ours)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations of tones, and a recipe of both stages that hears them."""
    folder = tmp_path_factory.mktemp("heard")
    utterances = []
    for number in range(24):
        write_tone(folder / "data" / f"{number}.wav", 200.0 + 300.0 * (number % 2), 0.3)
        split = ("train", "train", "train", "valid", "test", "test")[number // 4]
        attributes = {"label": "ab"[number % 2], "split": split}
        audio = f"{number}.wav"
        utterances.append(
            Utterance(f"u{number}", f"c{number // 2}", number % 2, "anna", audio=audio, attributes=attributes)
        )
    write_manifest(folder / "data", utterances, name="tones", version=1)
    write_recipe(folder / "r.toml", heard_values())
    return folder


def heard_values(**encoder: Any) -> dict[str, Any]:
    training = {"epochs": 2, "batch_size": 4, "learning_rates": {"encoders": 1e-3, "head": 1e-3}}
    listens = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2, **encoder}}
    stage = {"model": "single", "protocol": "table", "training": training, "encoders": listens}
    return {
        "model": "bc_lstm",
        "protocol": "table",
        "seeds": 2,
        "encoders": {"audio": {"name": "checkpoint", "recipe": stage, "cross_fit": 2, "standardise": True}},
        "training": {**training, "learning_rates": {"head": 1e-2}},
    }


def test_a_recording_is_analysed_as_the_benchmark_heard_it(heard: Path, tmp_path: Path) -> None:
    assert train(heard, heard / "r.toml", "run").code == 0
    lines = ["start_s,end_s,text,speaker"]
    samples = []
    for turn, number in enumerate((16, 17)):  # the first test conversation, as one recording
        samples.append(soundfile.read(heard / "data" / f"{number}.wav")[0])
        lines.append(f"{0.3 * turn:.3f},{0.3 * (turn + 1):.3f},hm,anna")
    soundfile.write(tmp_path / "call.wav", np.concatenate(samples), 16_000, subtype="PCM_16")
    (tmp_path / "call.csv").write_text("\n".join(lines))
    shutil.copytree(trained(heard, "run"), tmp_path / "moved")
    options = ("--checkpoint", tmp_path / "moved", "--transcript", tmp_path / "call.csv", "--out", tmp_path / "out")

    done = call("-q", "analyze", tmp_path / "call.wav", *options, "--no-speech-check")  # tones

    assert done.code == 0, done.error
    segments = json.loads((tmp_path / "out" / "call.json").read_text())["segments"]
    table = pq.read_table(trained(heard, "run").parent / "predictions.parquet").to_pylist()
    stored = {row["id"]: row for row in table}
    assert len(segments) == 2
    for segment, name in zip(segments, ("u16", "u17"), strict=True):
        for label in "ab":
            assert segment["probabilities"][label] == pytest.approx(stored[name][f"p:{label}"], abs=1e-4)


def test_a_feature_extractor_that_compares_speakers_is_refused_before_it_is_trained(
    heard: Path, tmp_path: Path
) -> None:
    refused(heard, tmp_path, heard_values(normalize="speaker"), "compares speakers")


def test_both_stages_killed_again_and_again_end_as_undisturbed_ones(heard: Path, tmp_path: Path) -> None:
    chance = random.Random(1)
    write_recipe(tmp_path / "r.toml", {**heard_values(), "seeds": 1})
    shutil.copytree(heard / "data", tmp_path / "data", ignore=shutil.ignore_patterns("features"))

    def arguments(name: str) -> tuple[str, ...]:
        places = ("--data", tmp_path / "data", "--out", tmp_path / name, "--features", tmp_path / f"{name}-features")
        return ("train", str(tmp_path / "r.toml"), *map(str, places))

    kills = 0
    while kills < 4 and command(*arguments("stormy"), killed_at=chance.randint(8, 30)) == -signal.SIGKILL:
        kills += 1
    assert command(*arguments("stormy")) == 0
    assert command(*arguments("calm")) == 0

    assert kills >= 3
    ours, theirs = (
        {path.relative_to(tmp_path / name): path for path in (tmp_path / name).rglob("model.safetensors")}
        for name in ("calm", "stormy")
    )
    assert ours.keys() == theirs.keys()
    assert (
        len(ours) == 1 + 2 + 2
    )  # the feature extractor, two parts, the downstream model and the feature extractor in it
    assert all(path.read_bytes() == theirs[name].read_bytes() for name, path in ours.items())
    tables = [pq.read_table(trained(tmp_path, name).parent / "predictions.parquet") for name in ("calm", "stormy")]
    assert tables[0].equals(tables[1])
    assert not list((tmp_path / "stormy").rglob(".tmp-*"))


def test_a_grid_shares_no_feature_extractor(home: Path, tmp_path: Path) -> None:
    done = train(home, home / "plain.toml", "grid", "--grid", tmp_path / "g.toml", "--feature-extractors", tmp_path)

    assert done.code == 2
    assert "--feature-extractors goes with one recipe" in done.error
