"""A tiny MarianMT of random weights: what it says means nothing, how it is asked is what is tested."""

import shutil
from pathlib import Path

import pytest
import torch

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import load
from merkit.core.view import TextEngine, Wording

WORDS = ["so", "we", "go", "on", "no", "yes", "rain", "sun"]


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("marian")
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", model_max_length=32
    ).save_pretrained(folder)
    config = MarianConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=1,
        init_std=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MarianMTModel(config).save_pretrained(folder)
    return folder


def engine(marian: Path, **settings: object) -> TextEngine:
    spec = load("views", "translate")
    built: TextEngine = spec.build(spec.config(forward=str(marian), backward=str(marian), longest=8, **settings))
    return built


def test_the_views_of_a_text_are_the_best_wordings_and_batch_mates_do_not_matter(marian: Path) -> None:
    translate = engine(marian, beams=3)
    wordings = [Wording(text, number, 0) for text in ("so we go", "rain") for number in range(3)]

    together = translate.rewrite(wordings)
    alone = [translate.rewrite([wording])[0] for wording in reversed(wordings)][::-1]

    assert together == alone
    assert len(set(together[:3])) == 3
    assert all(set(text.split()) <= {*WORDS, "<unk>"} for text in together)


def test_more_views_than_beams_are_an_error(marian: Path) -> None:
    with pytest.raises(MerkitError, match=r"2 beams give 2 wordings, view 3 was asked for"):
        engine(marian, beams=2).rewrite([Wording("so", 2, 0)])


def test_a_network_is_known_by_its_files(marian: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(marian, tmp_path / "moved"))
    assert engine(marian).identity() == engine(moved).identity()

    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")

    assert engine(marian).identity() != engine(moved).identity()
    assert engine(marian, beams=2).identity() != engine(marian).identity()


def test_what_is_no_translation_network_is_told(marian: Path, tmp_path: Path) -> None:
    spec = load("views", "translate")
    with pytest.raises(ConfigError, match="No folder 'nowhere'"):
        spec.build(spec.config(forward="nowhere", backward=str(marian)))
    (tmp_path / "config.json").write_text((marian / "config.json").read_text())
    with pytest.raises(MerkitError, match=r"Cannot load the translation network.*merkit\[translate\]"):
        engine(tmp_path).rewrite([Wording("so", 0, 0)])
