"""A trained model of conversations as an encoder: ``checkpoint`` over a conversation model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.miniature import write_tone
from tests.tiny import built
from tests.unit.encoders.conftest import tiny_bert

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError
from merkit.core.types import Turn, Utterance, turns_of
from merkit.data.collate import Example, collate
from merkit.encoders import checkpoint
from merkit.io.checkpoint import build_encoders, build_model, choose_encoders, open_model, save_checkpoint
from merkit.models import bc_lstm, single

__all__ = ["tiny_bert"]

TEXTS = ["we are so happy here", None, "", "i am not there", "sad"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    return saved(tmp_path_factory.mktemp("stage"), tiny_bert, "single_conversation", "conversation")


def saved(folder: Path, network: Path, model: str, context: int | str, **config: Any) -> Path:
    encoders = {"text": {"name": "bert", "weights": str(network), "frozen": False, "context": context}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_checkpoint(folder, *built(model, encoders, ("a", "b", "c"), **config), {}, "")
    return folder


def stage(folder: Path, *outputs: str) -> checkpoint.FeatureExtractor:
    config = checkpoint.ExtractorConfig(checkpoint=str(folder), outputs=outputs or ("embedding",))
    return checkpoint.build(config, "text", EncoderHome(open_model=open_model))


def talk(name: str, texts: list[str | None], speakers: str = "ab") -> list[Turn]:
    utterances = [
        Utterance(f"{name}{place}", name, place, speakers[place % len(speakers)], text)
        for place, text in enumerate(texts)
    ]
    return list(turns_of(utterances, Path(), len(texts), len(texts)))


def spoken(turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.utterance.text is not None]


@pytest.mark.parametrize(("model", "context"), [("single_conversation", "conversation"), ("bc_lstm", 1)])
def test_vectors_are_what_the_model_says_of_the_whole_conversation(tmp_path, tiny_bert, model, context):
    folder = saved(tmp_path / "c", tiny_bert, model, context)
    trained = open_model(folder).model
    encoder = trained.encoders["text"]
    assert isinstance(encoder, Encoder)
    turns = talk("t", TEXTS)

    found = stage(folder, "embedding", "logits").extract(spoken(turns))

    arrays = [None if turn.utterance.text is None else encoder.extract([turn])[0] for turn in turns]
    item = [Example(turn.utterance.id, "", {"text": array}, None) for turn, array in zip(turns, arrays, strict=True)]
    with torch.no_grad():
        output = trained(collate([item], "conversation", False, {"text": encoder.blank()}))
    expected = torch.cat([output.auxiliary["embedding"], output.logits], dim=-1)[0, [0, 2, 3, 4]]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


def test_vectors_do_not_depend_on_how_turns_are_batched(folder, monkeypatch):
    encoder = stage(folder)
    turns = spoken([*talk("t", TEXTS), *talk("u", TEXTS[::-1]), *talk("v", ["sad"])])
    order = np.random.default_rng(0).permutation(len(turns))

    together = encoder.extract(turns)
    shuffled = encoder.extract([turns[place] for place in order])
    alone = [stage(folder).extract([turn])[0] for turn in turns]

    # 1e-6: kernels may differ with the batch and with where weights lie in memory
    for place, array in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(array, together[place], rtol=0, atol=1e-6)
    for array, expected in zip(alone, together, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6)


def test_a_conversation_is_run_once_also_where_two_calls_share_it(folder, monkeypatch):
    encoder = stage(folder)
    turns = spoken([*talk("t", TEXTS), *talk("u", TEXTS[::-1])])
    runs = []
    real = encoder._embedders[0].vectors
    monkeypatch.setattr(encoder._embedders[0], "vectors", lambda *given: runs.append(1) or real(*given))

    for start in range(0, len(turns), 3):
        encoder.extract(turns[start : start + 3])

    assert len(runs) == 2


def test_the_content_hash_follows_all_that_is_read_and_nothing_else(folder):
    encoder = stage(folder)
    plain = [encoder.content(turn) for turn in talk("t", TEXTS)]

    assert plain == [encoder.content(turn) for turn in talk("other", TEXTS)]
    assert plain[1] is None
    assert len(set(plain)) == len(TEXTS)
    for changed in ([*TEXTS[:-1], "happy"], ["you", *TEXTS[1:]], [*TEXTS, "so"], [*TEXTS[:-1], None]):
        others = [encoder.content(turn) for turn in talk("t", changed)]
        assert others[2] not in plain
    assert encoder.content(talk("t", TEXTS, "abc")[2]) not in plain


def test_a_recording_that_changes_on_disk_is_seen_by_all_turns(tmp_path):
    heard = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 1}}
    save_checkpoint(tmp_path / "c", *built("bc_lstm", heard, ("a", "b", "c")), {}, "")
    config = checkpoint.ExtractorConfig(checkpoint=str(tmp_path / "c"))
    encoder = checkpoint.build(config, "audio", EncoderHome(open_model=open_model))
    utterances = [Utterance(f"u{n}", "t", n, "ab"[n], audio=f"{n}.wav") for n in range(2)]
    turns = list(turns_of(utterances, tmp_path, 1, 1))
    for number in range(2):
        write_tone(tmp_path / f"{number}.wav", 200.0, 0.3)

    before = [encoder.content(turn) for turn in turns]
    write_tone(tmp_path / "1.wav", 500.0, 0.4)
    after = [encoder.content(turn) for turn in turns]

    assert len({*before, *after}) == 4
    assert len(encoder.extract(turns)) == 2


def test_two_turns_of_the_same_words_have_their_places(folder):
    first, second = talk("t", ["sad", "sad"])
    encoder = stage(folder)

    assert encoder.content(first) != encoder.content(second)
    vectors = encoder.extract([second, first])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_it_asks_for_the_whole_conversation_and_reads_ahead(folder, tmp_path, tiny_bert):
    whole, alone = stage(folder), stage(saved(tmp_path / "single", tiny_bert, "single", 1))

    assert min(whole.context, whole.following) > 10**9
    assert whole.reads_ahead
    assert (alone.context, alone.following, alone.reads_ahead) == (1, 0, False)
    assert not whole.needs_conversation
    assert whole.fingerprint() != stage(folder, "logits").fingerprint()


def test_a_causal_model_on_an_encoder_of_the_past_does_not_read_ahead(tmp_path, tiny_bert):
    encoder = stage(saved(tmp_path / "c", tiny_bert, "bc_lstm", 1, causal=True))
    turns = talk("t", ["we", "are", "sad"])
    cut = replace(turns[1], following=())

    assert not encoder.reads_ahead
    np.testing.assert_allclose(encoder.extract([cut])[0], encoder.extract([turns[1]])[0], atol=1e-6)
    assert build_model(bc_lstm.SPEC, bc_lstm.SPEC.config(causal=True), {"text": encoder}, 3)


def test_a_causal_downstream_model_is_refused_where_the_feature_extractor_reads_ahead(folder):
    with pytest.raises(ConfigError, match=r"encoders\.text reads what follows a turn, 'bc_lstm' with causal = true"):
        build_model(bc_lstm.SPEC, bc_lstm.SPEC.config(causal=True), {"text": stage(folder)}, 3)


def test_a_model_of_utterances_may_read_vectors_of_conversations(folder):
    assert build_model(single.SPEC, single.SPEC.config(), {"text": stage(folder)}, 3)


def test_a_feature_extractor_of_a_feature_extractor_is_refused(folder, tmp_path):
    encoders = {"text": {"name": "checkpoint", "checkpoint": str(folder)}}
    save_checkpoint(tmp_path / "two", *built("bc_lstm", encoders, ("a", "b", "c")), {}, "")

    with pytest.raises(ConfigError, match="two stages at most"):
        stage(tmp_path / "two")


def test_the_weights_of_a_frozen_network_and_of_an_extractor_are_counted_whether_or_not_they_are_loaded(
    tmp_path, tiny_bert, folder
):
    stored = load_file(tiny_bert / "model.safetensors")
    weights = sum(tensor.size for name, tensor in stored.items() if not name.startswith("pooler."))  # it is not used
    trained = sum(parameter.numel() for parameter in open_model(folder).model.parameters())

    frozen = build_encoders(
        choose_encoders({"text": {"name": "bert", "weights": str(tiny_bert), "frozen": True}}), None, None
    )["text"]

    assert frozen.frozen_parameters() == weights > 0
    assert sum(parameter.numel() for parameter in frozen.parameters()) == 0
    assert stage(folder).frozen_parameters() == trained > weights
    own = choose_encoders({"text": {"name": "bert", "weights": str(tiny_bert), "frozen": False}})
    assert build_encoders(own, None, None)["text"].frozen_parameters() == 0
