"""The likeliest path of letters against all paths, tried one by one; and a network of random weights end to end."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tests.miniature import write_tone

from merkit.aligners.ctc import SPEC, CtcConfig, letter_spans
from merkit.aligners.segments.words import spoken_words
from merkit.core.errors import UnalignableError
from merkit.core.types import Turn, Utterance

BLANK = 0


def best_by_trying(scores: np.ndarray, tokens: list[int]) -> float:
    """The score of the best of all frame labellings that collapse to the tokens."""
    frames, letters = scores.shape
    best = -np.inf
    for path in itertools.product(range(letters), repeat=frames):
        collapsed = [letter for letter, _ in itertools.groupby(path) if letter != BLANK]
        if collapsed == tokens:
            best = max(best, float(sum(scores[frame, letter] for frame, letter in enumerate(path))))
    return best


@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 2, 2]])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_path_is_the_best_of_all_paths(tokens: list[int], seed: int) -> None:
    scores = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=6))

    spans = letter_spans(scores, tokens, BLANK)

    labels = np.full(6, BLANK)
    for (first, behind), token in zip(spans, tokens, strict=True):
        labels[first:behind] = token
    assert [letter for letter, _ in itertools.groupby(labels.tolist()) if letter != BLANK] == tokens
    assert float(scores[np.arange(6), labels].sum()) == pytest.approx(best_by_trying(scores, tokens))


def test_letters_lie_where_they_are_likely() -> None:
    scores = np.log(np.full((8, 3), 0.01))
    for frame, letter in enumerate([0, 1, 1, 0, 2, 0, 2, 0]):
        scores[frame, letter] = np.log(0.98)

    assert letter_spans(scores, [1, 2, 2], BLANK) == [(1, 3), (4, 5), (6, 7)]


def test_too_few_frames_for_the_letters_cannot_be_aligned() -> None:
    with pytest.raises(UnalignableError, match="has 2 frames, its letters need 3"):
        letter_spans(np.zeros((2, 3)), [1, 1], BLANK)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Well\u2014I'm over-tired, \u2018honestly\u2019!", ["well", "i'm", "over", "tired", "honestly"]),
        ("Na\u00efve caf\u00e9 \u2026", ["na\u00efve", "caf\u00e9"]),
    ],
)
def test_a_transcript_gives_its_spoken_words(text: str, words: list[str]) -> None:
    assert spoken_words(text) == words


@pytest.mark.parametrize(("text", "message"), [("...", "no words"), ("at 5 pm", "'5' has digits")])
def test_what_cannot_be_spoken_is_told(text: str, message: str) -> None:
    with pytest.raises(UnalignableError, match=message):
        spoken_words(text)


def network(folder: Path) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    letters = {"<pad>": 0, "|": 1, **{letter: place + 2 for place, letter in enumerate("ABCDEO")}}
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, pad_token_id=0,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(letters))
    return folder


def test_a_network_gives_words_in_order_within_the_recording(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 300.0, 0.1)
    aligner = SPEC.build(CtcConfig(weights=str(network(tmp_path / "network"))))
    turn = Turn(Utterance("u1", "c", 0, "", text="A bad, bad code.", audio="a.wav"), (), tmp_path)

    words = aligner.align(turn)["word"]

    assert [each.label for each in words] == ["a", "bad", "bad", "code"]
    assert words[-1].end_s <= 0.1
    assert aligner.align(turn)["word"] == words
    strange = Turn(Utterance("u2", "c", 1, "", text="zed", audio="a.wav"), (), tmp_path)
    with pytest.raises(UnalignableError, match="'z' is none of the letters"):
        aligner.align(strange)
