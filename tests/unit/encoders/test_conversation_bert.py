import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.unit.encoders.test_bert import build
from torch import Tensor

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome
from merkit.core.errors import ConfigError
from merkit.encoders.bert import SPEC, BertConfig, ConversationBert
from merkit.io.checkpoint import build_model
from merkit.models import bc_lstm, single

LINES = ["we are so happy here", "", "sad", "i am not there : you are very very sad .", "one two three", "so it is"]
TOLERANCE = 1e-6
"""Relative to the largest value: windows of another length add in another order."""


def reader(folder, **settings) -> ConversationBert:
    return build(folder, frozen=False, context="conversation", **settings).eval()


def batch_of(encoder, say, conversations, *, garbage=1000, more_time=0, more_turns=0) -> Padded:
    """Conversations of texts (``None``: absent) side by side, with garbage in the padding."""

    def tokens(texts):
        return [None if text is None else encoder.extract([say(text)])[0] for text in texts]

    arrays = [tokens(texts) for texts in conversations]
    turns = max(map(len, arrays)) + more_turns
    time = max(len(array) for item in arrays for array in item if array is not None) + more_time
    data = torch.full((len(arrays), turns, time, 3), garbage)
    mask = torch.zeros(len(arrays), turns, time, dtype=torch.bool)
    for item, lines in enumerate(arrays):
        for turn, array in enumerate(lines):
            if array is not None:
                data[item, turn, : len(array)] = torch.from_numpy(array)
                mask[item, turn, : len(array)] = True
    return Padded(data, mask)


def vectors(encoder, padded: Padded) -> Padded:
    with torch.no_grad():
        return encoder(padded)


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=TOLERANCE * float(expected.abs().max()), rtol=0.0)


def by_hand(encoder, line: str) -> Tensor:
    """States of Hugging Face's own network for a sequence of tokens given by name."""
    numbers = torch.tensor([encoder.architecture.tokenizer.convert_tokens_to_ids(line.split())])
    with torch.no_grad():
        return encoder.network(input_ids=numbers, token_type_ids=torch.zeros_like(numbers)).last_hidden_state[0]


def test_an_utterance_is_read_as_its_own_line_and_a_separator(tiny_bert, say):
    encoder = reader(tiny_bert, speaker_names=True)

    (array,) = encoder.extract([say("we are here", before=["so sad"])])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    assert " ".join(words) == "ben : we are here [SEP]"
    assert array[:, 1].tolist() == [0] * 6
    assert array[:, 2].tolist() == [1] * 6
    assert array.dtype == np.int64


def test_a_line_keeps_less_than_half_a_window(tiny_bert, say):
    encoder = reader(tiny_bert, max_tokens=12)

    (array,) = encoder.extract([say("one two three four five six seven")])

    words = encoder.architecture.tokenizer.convert_ids_to_tokens(array[:, 0].tolist())
    assert " ".join(words) == "one two three four [SEP]"


def test_an_empty_text_is_a_separator_and_none_is_absent(tiny_bert, say):
    encoder = reader(tiny_bert)

    assert encoder.extract([say("")])[0][:, 0].tolist() == [encoder.architecture.tokenizer.sep_token_id]
    assert encoder.content(say("")) is not None
    assert encoder.content(say(None)) is None


def test_extraction_reads_no_other_turn(tiny_bert, say):
    encoder = reader(tiny_bert)

    assert (encoder.context, encoder.following) == (0, 0)
    assert encoder.content(say("sad", before=["one"])) == encoder.content(say("sad", before=["two"]))
    assert encoder.fingerprint() != build(tiny_bert, frozen=False).fingerprint()


def test_states_are_those_of_the_network_on_the_joined_lines(tiny_bert, say):
    encoder = reader(tiny_bert)

    found = vectors(encoder, batch_of(encoder, say, [["we are", None, "", "so sad"]]))

    expected = by_hand(encoder, "[CLS] we are [SEP] [SEP] so sad [SEP]")
    assert found.mask.sum(-1).tolist() == [[3, 0, 1, 3]]
    assert_near(found.data[found.mask], expected[1:])


def test_a_long_conversation_is_read_in_windows_that_begin_with_the_last_turns(tiny_bert, say):
    encoder = reader(tiny_bert, max_tokens=12)

    found = vectors(encoder, batch_of(encoder, say, [["one two three", "we are", "i", "so very sad", "here"]]))

    first = by_hand(encoder, "[CLS] one two three [SEP] we are [SEP] i [SEP]")
    second = by_hand(encoder, "[CLS] we are [SEP] i [SEP] so very sad [SEP] here [SEP]")
    assert_near(found.data[found.mask], torch.cat([first[1:], second[6:]]))


@pytest.mark.parametrize("settings", [{}, {"layer": "mix"}, {"pooled": True}, {"layer": "mix", "pooled": True}])
def test_batch_mates_and_what_stands_in_padding_change_nothing(tiny_bert, say, settings):
    encoder = reader(tiny_bert, max_tokens=20, **settings)
    conversations = [LINES, [None, *LINES[::-1], None, "we"], ["sad"], [None]]

    together = vectors(encoder, batch_of(encoder, say, conversations))
    roomy = vectors(encoder, batch_of(encoder, say, conversations[::-1], garbage=-7, more_time=5, more_turns=2))

    for row, texts in enumerate(conversations):
        assert together.mask[row].any(-1).tolist()[: len(texts)] == [text is not None for text in texts]
        if not any(text is not None for text in texts):
            continue
        alone = vectors(encoder, batch_of(encoder, say, [texts]))
        expected = alone.data[0][alone.mask[0]]
        assert len(expected) > 0
        assert expected.shape[-1] == encoder.dim
        assert_near(together.data[row][together.mask[row]], expected)
        assert_near(roomy.data[-1 - row][roomy.mask[-1 - row]], expected)


def test_absent_turns_count_for_nothing(tiny_bert, say):
    encoder = reader(tiny_bert)

    sparse = vectors(encoder, batch_of(encoder, say, [[None, "we are", None, "sad"]]))
    dense = vectors(encoder, batch_of(encoder, say, [["we are", "sad"]]))

    assert_near(sparse.data[sparse.mask], dense.data[dense.mask])


def test_a_turn_s_vectors_depend_on_what_precedes_and_follows_it(tiny_bert, say):
    encoder = reader(tiny_bert)

    plain, before, after = (
        vectors(encoder, batch_of(encoder, say, [texts])).data[0, 1]
        for texts in (["i", "we", "i"], ["you", "we", "i"], ["i", "we", "you"])
    )

    assert encoder.reads_ahead
    assert not torch.allclose(plain, before, atol=1e-3)
    assert not torch.allclose(plain, after, atol=1e-3)


@pytest.mark.parametrize("pooled", [True, False])
def test_pooled_is_the_mean_of_the_turn_s_own_states(tiny_bert, say, pooled):
    each, mean = reader(tiny_bert, layer="mix"), reader(tiny_bert, layer="mix", pooled=True)
    batch = batch_of(each, say, [["we are", "so sad", None]])

    steps, pooled = vectors(each, batch), vectors(mean, batch)

    assert pooled.mask.tolist() == [[[True], [True], [False]]]
    assert_near(pooled.data[0, :2, 0], steps.data[0, :2].mean(1))


def test_a_mix_weighs_the_states_of_all_layers(tiny_bert, say):
    mixed, last = reader(tiny_bert, layer="mix"), reader(tiny_bert)
    batch = batch_of(last, say, [["we are", "so sad"]])
    with torch.no_grad():
        mixed.mix.weights[-1] = 50.0

    assert_near(vectors(mixed, batch).data, vectors(last, batch).data)


def test_every_weight_that_is_trained_gets_a_gradient(tiny_bert, say):
    encoder = reader(tiny_bert, max_tokens=12, layer="mix").train()

    output = encoder(batch_of(encoder, say, [LINES, ["sad"]]))
    output.data[output.mask].square().sum().backward()

    assert [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_network_without_segments_reads_conversations_too(tmp_path, say):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    words = ["<s>", "<pad>", "</s>", "<unk>", "we", "are", "sad", "happy"]
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=32, **special).save_pretrained(tmp_path)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=8, max_position_embeddings=34, type_vocab_size=1, initializer_range=0.3, **size)
    RobertaModel(config).save_pretrained(tmp_path)
    encoder = reader(tmp_path, max_tokens=32)

    found = vectors(encoder, batch_of(encoder, say, [["we are", "sad"], ["happy"]]))

    tokens = torch.tensor([[0, 4, 5, 2, 6, 2]])
    with torch.no_grad():
        expected = encoder.network(input_ids=tokens).last_hidden_state[0]
    assert_near(found.data[0][found.mask[0]], expected[1:])


def test_a_tokenizer_without_separators_is_refused(tmp_path, tiny_bert, say):
    import json
    import shutil

    shutil.copytree(tiny_bert, tmp_path / "plain")
    described = json.loads((tmp_path / "plain" / "tokenizer_config.json").read_text())
    described = {key: value for key, value in described.items() if key != "sep_token"}
    (tmp_path / "plain" / "tokenizer_config.json").write_text(json.dumps(described))
    (tmp_path / "plain" / "special_tokens_map.json").unlink(missing_ok=True)

    with pytest.raises(ConfigError, match="no tokens that begin a text"):
        reader(tmp_path / "plain").extract([say("sad")])


@pytest.mark.parametrize("context", [-1, "dialogue", 1.5, True])
def test_a_context_that_is_none_is_refused_in_one_line(context):
    with pytest.raises(ValidationError, match='0 or more, or "conversation"') as caught:
        BertConfig(context=context, frozen=False)

    assert caught.value.error_count() == 1


def test_a_frozen_network_reads_no_conversations():
    with pytest.raises(ValidationError, match="needs frozen = false") as caught:
        BertConfig(context="conversation")

    assert caught.value.error_count() == 1


def test_a_model_of_utterances_is_refused(tiny_bert):
    with pytest.raises(ConfigError, match=r"encoders\.text reads whole conversations, 'single' single utterances"):
        build_model(single.SPEC, single.SPEC.config(), {"text": reader(tiny_bert)}, 3)


def test_a_causal_model_is_refused(tiny_bert):
    assert build_model(bc_lstm.SPEC, bc_lstm.SPEC.config(causal=False), {"text": reader(tiny_bert)}, 3)
    with pytest.raises(ConfigError, match=r"encoders\.text reads what follows a turn, 'bc_lstm' with causal = true"):
        build_model(bc_lstm.SPEC, bc_lstm.SPEC.config(causal=True), {"text": reader(tiny_bert)}, 3)


def test_a_checkpoint_needs_the_original_folder_no_more(tiny_bert, say, tmp_path):
    original = reader(tiny_bert)
    original.save_assets(tmp_path / "assets")

    config = BertConfig(weights="gone/away", frozen=False, context="conversation")
    restored = SPEC.build(config, "text", EncoderHome(assets=tmp_path / "assets"))
    restored.load_state_dict(original.state_dict(), strict=True)

    batch = batch_of(original, say, [["we are", "so sad"]])
    # 1e-5: weights read from another file lie elsewhere in memory, for which some processors have other kernels
    found, expected = vectors(restored.eval(), batch), vectors(original, batch)
    torch.testing.assert_close(found.data, expected.data, rtol=1e-5, atol=1e-5)


def test_a_batch_without_any_text_gives_masked_vectors(tiny_bert):
    encoder = reader(tiny_bert)

    output = encoder(Padded(torch.full((2, 3, 4, 3), 1000), torch.zeros(2, 3, 4, dtype=torch.bool)))

    assert output.data.shape == (2, 3, 1, 32)
    assert not output.mask.any()
