"""Known values: all alignments of a short target enumerated, and PyTorch's loss on each utterance alone."""

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from merkit.nn.ctc import ENGLISH, SPECIAL, mean_ctc, released_ctc, spelled

Loss = Callable[[Tensor, Tensor, Sequence[Sequence[int]]], Tensor]


def logits(items: int, time: int, classes: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(items, time, classes, generator=torch.Generator().manual_seed(seed))


def masks(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def enumerated(frames: Tensor, target: list[int]) -> float:
    """-log of the summed probability of all paths that collapse to the target."""
    log_p = frames.double().log_softmax(dim=-1)
    total = 0.0
    for path in itertools.product(range(frames.shape[1]), repeat=len(frames)):
        collapsed = [number for number, _ in itertools.groupby(path) if number != 0]
        if collapsed == target:
            total += math.exp(sum(float(log_p[time, number]) for time, number in enumerate(path)))
    return -math.log(total)


def test_the_english_vocabulary_is_that_of_wav2vec2_base() -> None:
    assert SPECIAL + len(ENGLISH) == 32
    assert len(set(ENGLISH)) == len(ENGLISH)
    assert spelled("I'm here", ENGLISH) == [10, 27, 17, 4, 11, 5, 13, 5]  # numbers of its vocab.json


@pytest.mark.parametrize(
    ("text", "told"), [("", ""), ("{LG}", ""), ("  Well?! ", "WELL"), ("a [BREATHING] b <x>", "A|B"), ("42 ok", "OK")]
)
def test_a_transcript_is_spelled_in_words_without_events(text: str, told: str) -> None:
    assert spelled(text, ENGLISH) == [SPECIAL + ENGLISH.index(character) for character in told]


def test_the_released_code_spells_event_tags() -> None:
    assert spelled("{LG} no", ENGLISH, keep_events=True) == spelled("LG no", ENGLISH)


def test_other_alphabets_are_spelled_in_their_own_characters() -> None:
    assert spelled("Żółw", "|ŻÓŁW") == [5, 6, 7, 8]
    assert spelled("Żółw", ENGLISH) == [18]  # W alone is known


def test_the_loss_is_the_mean_of_each_utterance_per_character() -> None:
    frames, targets = logits(3, 4), [[1, 2], [3], [2, 2]]
    lengths = (4, 2, 3)
    expected = [
        enumerated(frames[row, :length], target) / len(target)
        for row, (length, target) in enumerate(zip(lengths, targets, strict=True))
    ]

    assert float(mean_ctc(frames, masks(*lengths), targets)) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_the_released_loss_is_the_sum() -> None:
    frames, targets = logits(2, 4), [[1, 2], [3]]
    expected = enumerated(frames[0], targets[0]) + enumerated(frames[1, :2], targets[1])

    assert float(released_ctc(frames, masks(4, 2), targets)) == pytest.approx(expected, rel=1e-5)


def test_padded_frames_change_neither_loss_nor_gradient() -> None:
    short = logits(2, 4).requires_grad_()
    long = torch.cat([short.detach(), torch.full((2, 3, 6), 1e3)], dim=1).requires_grad_()
    targets = [[1, 2], [3, 4]]

    losses = [
        mean_ctc(short, masks(4, 4), targets),
        mean_ctc(long, torch.cat([masks(4, 4), torch.zeros(2, 3, dtype=torch.bool)], dim=1), targets),
    ]
    for loss in losses:
        loss.backward()

    assert short.grad is not None
    assert long.grad is not None
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), abs=1e-6)
    torch.testing.assert_close(long.grad[:, :4], short.grad)
    assert not long.grad[:, 4:].any()


def test_empty_transcripts_and_absent_recordings_do_not_count() -> None:
    frames = logits(3, 4).requires_grad_()
    mask = masks(4, 4, 0)

    loss = mean_ctc(frames, mask, [[1], [], [2]])
    nothing = mean_ctc(frames, mask, [[], [], [2]])

    assert float(loss.detach()) == pytest.approx(enumerated(frames[0].detach(), [1]), rel=1e-5)
    assert float(nothing.detach()) == 0.0
    nothing.backward()
    assert not frames.grad.any()


@pytest.mark.parametrize("loss_of", [mean_ctc, released_ctc])
def test_a_target_longer_than_its_frames_adds_nothing(loss_of: Loss) -> None:
    frames = logits(1, 2).requires_grad_()

    loss = loss_of(frames, masks(2), [[1, 2, 3]])
    loss.backward()

    assert float(loss.detach()) == 0.0
    assert not frames.grad.any()
