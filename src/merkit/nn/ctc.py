"""Connectionist temporal classification (CTC) of a transcript's characters, an auxiliary task of a speech encoder.

Graves et al., "Connectionist Temporal Classification", ICML 2006. Class 0 is the blank. The classes are those of
wav2vec 2.0's character vocabularies: 4 for the blank, the beginning, the end and the unknown, then the characters, with
``|`` for the space between words.
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import ctc_loss

from merkit.core.precision import at_least_float32

SPECIAL = 4
"""Number of classes before the first character; they are never targets."""
ENGLISH = "|ETAONIHSRDLUMWCFGYPBVK'XJQZ"
"""wav2vec2-base's characters in their order: 28, with the special classes 32."""
_EVENT = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|<[^<>]*>")
"""Tags of non-speech events: ``{LG}``, ``[LAUGHTER]``, ``<noise>``."""


def spelled(text: str, characters: str, *, keep_events: bool = False) -> list[int]:
    """Return a transcript as class numbers: upper case, ``|`` between words, unknown characters left out.

    >>> spelled("Oh, {LG} no!", ENGLISH)
    [8, 11, 4, 9, 8]

    Args:
        text: The transcript.
        characters: The vocabulary after its special classes; ``|`` must be in it.
        keep_events: Spell the letters of event tags such as ``{LG}`` too, as MMER's released code does.
    """
    numbers = {character: SPECIAL + index for index, character in enumerate(characters)}
    words = (text if keep_events else _EVENT.sub(" ", text)).upper().split()
    known = ["".join(character for character in word if character in numbers) for word in words]
    return [numbers[character] for character in "|".join(word for word in known if word)]


def mean_ctc(
    logits: Float[Tensor, "items time classes"], mask: Bool[Tensor, "items time"], targets: Sequence[Sequence[int]]
) -> Float[Tensor, ""]:
    """Return the mean over utterances of the negative log-likelihood per target character, in nats.

    Utterances without a frame or a target are not counted; without any left the loss is 0. A target that is too long
    for its frames adds 0. Real frames come first in ``mask``; padded ones may hold anything finite.
    """
    losses, lengths = _losses(logits, mask, targets)
    return (losses / lengths).sum() / max(len(losses), 1)


def released_ctc(
    logits: Float[Tensor, "items time classes"], mask: Bool[Tensor, "items time"], targets: Sequence[Sequence[int]]
) -> Float[Tensor, ""]:
    """Return the sum over characters and utterances, as MMER's released code has it.

    It grows with the batch and the transcripts. Utterances without a frame or a target are not counted, and a target
    that is too long for its frames adds 0, where the released code's loss is infinite and its weights become NaN.
    """
    return _losses(logits, mask, targets)[0].sum()


def _losses(logits: Tensor, mask: Tensor, targets: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return negative log-likelihoods and target lengths of the utterances that have frames and a target."""
    heard = mask.any(dim=1).tolist()
    counted = [row for row, target in enumerate(targets) if target and heard[row]]
    chosen = [targets[row] for row in counted]
    lengths = torch.tensor([len(target) for target in chosen], dtype=torch.long, device=logits.device)
    if not counted:
        return logits[:0].sum(dim=(1, 2)), lengths
    flat = torch.tensor([number for target in chosen for number in target], dtype=torch.long, device=logits.device)
    log_p = torch.log_softmax(at_least_float32(logits[counted]), dim=-1).transpose(0, 1)
    frames = mask[counted].sum(dim=1)
    return ctc_loss(log_p, flat, frames, lengths, reduction="none", zero_infinity=True), lengths
