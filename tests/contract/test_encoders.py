"""What every encoder must do.

A file dropped into ``merkit/encoders`` is tested here without any edit, with its defaults or with the settings that its
``SPEC.example`` returns. ``TINY`` has more cases of those that need networks.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.networks import write_whisper
from tests.tiny import built

from merkit.core import lookup
from merkit.core.batch import Padded
from merkit.core.corpus import PublishedFeatures
from merkit.core.encoder import Array, Encoder, EncoderHome
from merkit.core.types import MODALITIES, Turn, Utterance
from merkit.data.features.published import write_published
from merkit.io.checkpoint import open_model, save_checkpoint

TOLERANCE = 1e-5
"""In float32, relative to the largest value: sums over padded lengths come in another order."""

RATE_HZ = 16_000
LENGTHS_S = (0.9, 0.35, 0.6, 0.2)
TEXTS = ("so very happy", "i", "we are not here . you are", "")


@dataclass(frozen=True)
class World:
    """Four turns of one conversation with words, sound and published features, small networks and a model on disk."""

    root: Path
    turns: tuple[Turn, ...]
    networks: dict[str, Path]
    trained: Path
    """A checkpoint of an utterance model of texts."""
    conversing: Path
    """A checkpoint of a conversation model of texts."""


@dataclass(frozen=True)
class Tiny:
    """How to build an encoder small: its modality and settings (made with the networks' folders at hand)."""

    modality: str
    settings: Callable[[World], dict[str, Any]] = lambda world: {}


TINY: dict[str, tuple[Tiny, ...]] = {
    "bert": (
        Tiny("text", lambda world: {"weights": str(world.networks["bert"]), "context": 1}),
        Tiny("text", lambda world: {"weights": str(world.networks["bert"]), "pooled": True, "layer": "mix"}),
        Tiny("text", lambda world: {"weights": str(world.networks["bert"]), "frozen": False, "context": 2}),
        Tiny("text", lambda world: {"weights": str(world.networks["bert"]), "frozen": False, "standardise": True}),
        Tiny(
            "text",
            lambda world: {"weights": str(world.networks["bert"]), "frozen": False, "context": "conversation"},
        ),
    ),
    "checkpoint": (
        Tiny("text", lambda world: {"checkpoint": str(world.trained)}),
        Tiny(
            "text",
            lambda world: {"checkpoint": str(world.trained), "outputs": ["embedding", "logits"], "standardise": True},
        ),
        Tiny("text", lambda world: {"checkpoint": str(world.conversing)}),
    ),
    "contours": (Tiny("audio"),),
    "egemaps": (Tiny("audio"),),
    "logmel": (Tiny("audio", lambda world: {"n_mels": 16, "dim": 12}),),
    "praat": (Tiny("audio"),),
    "precomputed": tuple(
        Tiny(modality, lambda world, name=modality: {"features": name}) for modality in ("text", "audio", "video")
    ),
    "wav2vec2": (
        Tiny("audio", lambda world: {"weights": str(world.networks["wav2vec2"])}),
        Tiny("audio", lambda world: {"weights": str(world.networks["wav2vec2"]), "frozen": False}),
        Tiny("audio", lambda world: {"weights": str(world.networks["wav2vec2"]), "frozen": False, "standardise": True}),
    ),
    "whisper": (
        Tiny("audio", lambda world: {"weights": str(world.networks["whisper"])}),
        Tiny(
            "audio",
            lambda world: {
                "weights": str(world.networks["whisper"]),
                "layer": (1, 2),
                "combine": "mean",
                "pooled": "mean_std",
            },
        ),
        Tiny("audio", lambda world: {"weights": str(world.networks["whisper"]), "layer": "mix", "pooled": "mean_std"}),
        Tiny("audio", lambda world: {"weights": str(world.networks["whisper"]), "frozen": False, "layer": "mix"}),
        Tiny("audio", lambda world: {"weights": str(world.networks["whisper"]), "frozen": False, "standardise": True}),
    ),
}


def tiny(name: str) -> tuple[Tiny, ...]:
    """Return how to build an encoder small: as it stands in ``TINY``, else as its ``SPEC`` says, for each modality."""
    spec = lookup.load("encoders", name)

    def settings(world: World) -> dict[str, Any]:
        return {} if spec.example is None else dict(spec.example(world.root))

    return TINY.get(name) or tuple(Tiny(modality, settings) for modality in spec.modalities)


CASES = [(name, number) for name in lookup.names("encoders") for number in range(len(tiny(name)))]
encoders = pytest.mark.parametrize(("name", "number"), CASES, ids=lambda value: str(value))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> World:
    root = tmp_path_factory.mktemp("world")
    generator = np.random.default_rng(0)
    utterances = []
    for number, (length_s, text) in enumerate(zip(LENGTHS_S, TEXTS, strict=True)):
        write_voice(root / f"u{number}.wav", length_s, 110.0 + 40.0 * number, generator)
        utterances.append(Utterance(f"u{number}", "c", number, "anna", text=text, audio=f"u{number}.wav"))
    for modality, dim in zip(MODALITIES, (6, 5, 4), strict=True):
        arrays = {row.id: generator.standard_normal((3 + row.turn, dim)).astype(np.float32) for row in utterances}
        columns = tuple(f"column {column}" for column in range(dim))
        write_published(root / "precomputed" / modality, PublishedFeatures(modality, modality, arrays, columns))
    turns = tuple(Turn(row, tuple(utterances[: row.turn]), root) for row in utterances)
    networks = {
        "bert": tiny_bert,
        "wav2vec2": tiny_wav2vec2(root / "wav2vec2"),
        "whisper": write_whisper(root / "whisper"),
    }
    trained = tiny_model(root / "trained", "single", tiny_bert, 1)
    conversing = tiny_model(root / "conversing", "single_conversation", tiny_bert, "conversation")
    return World(root, turns, networks, trained, conversing)


def tiny_model(folder: Path, name: str, network: Path, context: int | str) -> Path:
    encoders = {"text": {"name": "bert", "weights": str(network), "frozen": False, "context": context}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, config = built(name, encoders, ("a", "b", "c"))
    save_checkpoint(folder, model, config, {}, "")
    return folder


def write_voice(path: Path, length_s: float, pitch_hz: float, generator: np.random.Generator) -> None:
    """Write a buzz with overtones and a little noise: enough of a voice for prosody to be defined."""
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * pitch_hz * tone * time_s) / tone for tone in range(1, 9))
    soundfile.write(path, 0.2 * buzz + 0.005 * generator.standard_normal(len(time_s)), RATE_HZ, subtype="PCM_16")


def tiny_wav2vec2(folder: Path) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        Wav2Vec2Model(
            Wav2Vec2Config(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=24,
                conv_dim=(8,) * 7,
                feat_extract_norm="group",
                num_conv_pos_embeddings=8,
                num_conv_pos_embedding_groups=2,
                initializer_range=0.3,
            )
        ).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True, "sampling_rate": RATE_HZ}))
    return folder


def build(world: World, name: str, number: int, assets: Path | None = None) -> Encoder:
    spec, case = lookup.load("encoders", name), tiny(name)[number]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        home = EncoderHome(data=world.root, assets=assets, open_model=open_model)
        encoder: Encoder = spec.build(spec.config(**case.settings(world)), case.modality, home)
    return encoder.eval()


def fitted(world: World, name: str, number: int) -> tuple[Encoder, list[Array]]:
    """Return an encoder with statistics, and what it extracts of the world's turns."""
    encoder = build(world, name, number)
    arrays = encoder.extract(world.turns)
    encoder.fit(arrays)
    return encoder, arrays


def padded(arrays: Sequence[Array], more_time: int = 0, garbage: float = 1e3) -> Padded:
    time = max(len(array) for array in arrays) + more_time
    data = np.full((len(arrays), time, *arrays[0].shape[1:]), garbage, dtype=arrays[0].dtype)
    mask = np.zeros((len(arrays), time), dtype=bool)
    for row, array in enumerate(arrays):
        data[row, : len(array)], mask[row, : len(array)] = array, True
    return Padded(torch.from_numpy(data), torch.from_numpy(mask))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=TOLERANCE * scale, rtol=0.0)


def changed(turn: Turn, modality: str, folder: Path) -> Turn:
    """Return the turn with other words and another recording, under another id."""
    write_voice(folder / "other.wav", 0.4, 200.0, np.random.default_rng(1))
    utterance = dataclasses.replace(turn.utterance, id="u1", text="very sad", audio=str(folder / "other.wav"))
    return dataclasses.replace(turn, utterance=utterance)


def test_there_are_encoders() -> None:
    assert set(lookup.names("encoders")) == {name for name, _ in CASES}
    assert set(TINY) <= {name for name, _ in CASES}


@pytest.mark.parametrize("name", lookup.names("encoders"))
def test_an_encoder_says_what_it_is_and_refuses_misspelt_settings(name: str) -> None:
    spec = lookup.load("encoders", name)

    assert spec.name == name
    assert spec.summary.strip()
    assert spec.modalities
    assert set(spec.modalities) <= set(MODALITIES)
    with pytest.raises(ValidationError, match="hiden_widht"):
        spec.config(hiden_widht=1)


@encoders
def test_extraction_is_independent_of_batch_mates(world: World, name: str, number: int) -> None:
    encoder = build(world, name, number)
    together, backwards = encoder.extract(world.turns), encoder.extract(world.turns[::-1])[::-1]
    alone = [encoder.extract([turn])[0] for turn in world.turns]

    for other in (backwards, alone):
        for first, second in zip(together, other, strict=True):
            assert first.shape == second.shape
            np.testing.assert_allclose(first, second, atol=TOLERANCE, rtol=TOLERANCE)


@encoders
def test_an_extracted_array_is_shaped_like_the_blank_and_defined(world: World, name: str, number: int) -> None:
    encoder, arrays = fitted(world, name, number)
    blank = encoder.blank()

    assert len(arrays) == len(world.turns)
    assert len(blank) == 1
    assert not blank.any()
    for array in arrays:
        assert len(array) >= 1
        assert array.shape[1:] == blank.shape[1:]
        assert array.dtype == blank.dtype
        assert encoder.may_be_undefined or np.isfinite(array).all()


@encoders
def test_batch_mates_and_padding_never_change_a_vector(world: World, name: str, number: int) -> None:
    encoder, arrays = fitted(world, name, number)

    with torch.no_grad():
        together = encoder(padded(arrays))
        roomier = encoder(padded(arrays, more_time=7))
        for row, array in enumerate(arrays):
            alone = encoder(padded([array]))
            expected = alone.data[0][alone.mask[0]]
            assert len(expected) >= 1
            assert expected.shape[-1] == encoder.dim
            assert expected.dtype == torch.float32
            assert_near(together.data[row][together.mask[row]], expected)
            assert_near(roomier.data[row][roomier.mask[row]], expected)


@encoders
def test_conversations_give_what_single_utterances_give(world: World, name: str, number: int) -> None:
    encoder, arrays = fitted(world, name, number)
    if encoder.needs_conversation:
        assert encoder.reads_ahead  # that turns matter to each other is what it is for
        return
    flat = padded(arrays)
    mask = flat.mask.clone()
    mask[1] = False  # an utterance without the modality, between others

    with torch.no_grad():
        single = encoder(flat)
        found = encoder(Padded(flat.data.unflatten(0, (2, 2)), mask.unflatten(0, (2, 2))))

    assert not found.mask[0, 1].any()
    for row in (0, 2, 3):
        place = divmod(row, 2)
        assert_near(found.data[place][found.mask[place]], single.data[row][single.mask[row]])


@encoders
def test_a_batch_without_the_modality_is_finite_and_masked(world: World, name: str, number: int) -> None:
    encoder, _ = fitted(world, name, number)
    blank = torch.from_numpy(encoder.blank())

    found = encoder(Padded(blank.expand(3, *blank.shape).clone(), torch.zeros(3, 1, dtype=torch.bool)))

    assert found.data.shape[0] == 3
    assert found.data.shape[-1] == encoder.dim
    assert not found.mask.any()
    assert torch.isfinite(found.data).all()


@encoders
def test_forward_is_deterministic_and_leaves_its_input_alone(world: World, name: str, number: int) -> None:
    encoder, arrays = fitted(world, name, number)
    batch = padded(arrays)
    data, mask = batch.data.clone(), batch.mask.clone()

    with torch.no_grad():
        first, second = encoder(batch), encoder(batch)

    assert torch.equal(first.data[first.mask], second.data[second.mask])
    assert torch.equal(batch.data, data) or batch.data.isnan().any()
    assert torch.equal(batch.mask, mask)


@encoders
def test_the_content_hash_follows_the_content(world: World, name: str, number: int, tmp_path: Path) -> None:
    encoder, modality = build(world, name, number), tiny(name)[number].modality
    turn = world.turns[2]
    same = dataclasses.replace(turn, utterance=dataclasses.replace(turn.utterance, attributes={"emotion": "sad"}))

    assert encoder.content(turn) is not None
    assert encoder.content(turn) == encoder.content(same) == build(world, name, number).content(turn)
    assert encoder.content(turn) != encoder.content(changed(turn, modality, tmp_path))
    assert len({encoder.content(turn) for turn in world.turns}) == len(world.turns)


@encoders
def test_an_utterance_without_the_modality_has_no_content(world: World, name: str, number: int) -> None:
    nothing = Utterance("nobody", "c", 0, "anna")

    assert build(world, name, number).content(Turn(nothing, (), world.root)) is None


@encoders
def test_fingerprint_and_description_are_json_and_stable(world: World, name: str, number: int) -> None:
    first, second = build(world, name, number), build(world, name, number)

    assert json.dumps(first.fingerprint(), sort_keys=True) == json.dumps(second.fingerprint(), sort_keys=True)
    assert name in first.fingerprint().values()
    assert json.loads(json.dumps(first.describe()))


@encoders
def test_an_encoder_survives_a_checkpoint(world: World, name: str, number: int, tmp_path: Path) -> None:
    encoder, arrays = fitted(world, name, number)
    (tmp_path / "assets").mkdir()
    encoder.save_assets(tmp_path / "assets")
    save_file(encoder.state_dict(), tmp_path / "state.safetensors")

    back = build(world, name, number, assets=tmp_path / "assets")
    back.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=True)

    assert back.fingerprint() == encoder.fingerprint()
    for first, second in zip(back.extract(world.turns), arrays, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=TOLERANCE)
    with torch.no_grad():
        found, expected = back(padded(arrays)), encoder(padded(arrays))
    assert torch.equal(found.mask, expected.mask)
    # weights read from another file lie elsewhere in memory, for which some processors have other kernels
    torch.testing.assert_close(found.data[found.mask], expected.data[expected.mask], rtol=1e-5, atol=TOLERANCE)


def test_the_padding_test_would_see_a_broken_mask(world: World) -> None:
    encoder, arrays = fitted(world, "bert", 2)
    batch = padded(arrays, garbage=1)

    with torch.no_grad():
        masked = encoder(batch).data[1, 0]
        unmasked = encoder(Padded(batch.data, torch.ones_like(batch.mask))).data[1, 0]

    assert float((masked - unmasked).abs().max()) > 100 * TOLERANCE
