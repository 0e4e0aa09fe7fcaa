"""Training of the words' head: evidence without a prior, from texts as written and heard, with and without context."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from merkit.models.words import Words
from merkit.nn.sequences import pad_sequences
from weights.texts import Texts, Vectors

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """The training texts of a corpus: vectors of each version, the first as written, and labels."""

    texts: Texts
    vectors: Sequence[Vectors]
    shares: Floats
    """``[texts, classes]``; each row sums to 1."""

    @property
    def log_prior(self) -> Floats:
        """The log of each label's share of the corpus."""
        return log_shares(self.shares)


def log_shares(shares: Floats) -> Floats:
    """Return the log of each label's share of a corpus, with one text more of every label: none is impossible."""
    counts = shares.sum(axis=0) + 1
    return np.asarray(np.log(counts / counts.sum()))


def evidence(
    model: Words, vectors: Vectors, conversations: Sequence[npt.NDArray[np.int64]], batch: int = 256
) -> Floats:
    """Return the logits of all texts, ``[texts, classes]``, each read with those before it in its conversation."""
    logits = np.zeros((len(vectors), model.head.out_features))
    model.eval()
    for start in range(0, len(conversations), batch):
        some = conversations[start : start + batch]
        padded = pad_sequences([torch.from_numpy(vectors[rows]) for rows in some])
        with torch.inference_mode():
            found = model.head(model.read(standardised(model, padded.data), padded.mask))
        logits[np.concatenate(some)] = found[padded.mask].double().numpy()
    return logits


def standardised(model: Words, vectors: Tensor) -> Tensor:
    """Return vectors as the model's encoder gives them to it."""
    standardizer = getattr(model.encoders[model.modality], "standardizer", None)
    return vectors if standardizer is None else cast(Tensor, standardizer(vectors))


def alone(texts: Texts) -> list[npt.NDArray[np.int64]]:
    """Return every text as a conversation of its own."""
    return [np.array([row]) for row in range(len(texts.utterances))]


def train(
    model: Words,
    training: Mapping[str, Examples],
    generator: np.random.Generator,
    *,
    steps: int,
    warmup: int,
    conversations: int,
    cut: float,
    comments: int,
    written: float,
    learning_rate: float,
    weight_decay: float,
    average: float,
) -> None:
    """Train the head; its weights become the moving average of those of all steps.

    The loss of each corpus is the mean cross entropy of its texts, the corpus' log prior added to the logits, so that
    the logits hold evidence without a prior. Corpora count alike.

    Args:
        model: The model, whose weights begin as torch's seed gives them.
        training: By corpus.
        generator: Draws batches and versions.
        steps: Of the optimizer.
        warmup: Steps in which the rate rises; it then falls to 0 as a cosine does.
        conversations: In a batch, of a corpus that has conversations of several turns.
        cut: The share of these that is cut into single turns.
        comments: Texts in a batch, of a corpus that has none.
        written: The share of conversations that is read as written.
        learning_rate: The highest.
        weight_decay: Of AdamW.
        average: Share of the old average that each step keeps.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, warmup, steps))
    priors = {name: torch.from_numpy(own.log_prior).float() for name, own in training.items()}
    batches = {
        name: _batches(own, generator, conversations, cut)
        if _converses(own)
        else _batches(own, generator, comments, 0.0)
        for name, own in training.items()
    }
    means = [parameter.detach().clone() for parameter in model.parameters()]
    for step in range(steps):
        model.train()
        loss = torch.zeros(())
        for name, own in training.items():
            vectors, mask, shares = _drawn(own, next(batches[name]), written, generator)
            read = model.read(standardised(model, vectors), mask)
            logits = model.head(model.dropout(read))[mask] + priors[name]
            loss = loss + torch.nn.functional.cross_entropy(logits, shares)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        kept = min(average, (step + 1) / (step + 10))
        with torch.no_grad():
            for old, new in zip(means, model.parameters(), strict=True):
                old.lerp_(new, 1 - kept)
    with torch.no_grad():
        for parameter, average_of_it in zip(model.parameters(), means, strict=True):
            parameter.copy_(average_of_it)


def _rate(step: int, warmup: int, steps: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def _converses(own: Examples) -> bool:
    return len(own.texts.conversations) < len(own.texts.utterances)


def _batches(
    own: Examples, generator: np.random.Generator, size: int, cut: float
) -> Iterator[list[npt.NDArray[np.int64]]]:
    """Yield batches of conversations for ever, all of them in each round."""
    conversations = own.texts.conversations
    while True:
        order = generator.permutation(len(conversations))
        for start in range(0, len(order) - size + 1, size):
            batch: list[npt.NDArray[np.int64]] = []
            for number in order[start : start + size]:
                rows = conversations[number]
                batch += list(rows[:, None]) if generator.random() < cut else [rows]
            yield batch


def _drawn(
    own: Examples, batch: Sequence[npt.NDArray[np.int64]], written: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return vectors, mask and label shares of a batch; a conversation is all as written, or all as heard."""
    rows, lengths = np.concatenate(batch), np.array([len(each) for each in batch])
    version = np.zeros(len(batch), dtype=np.int64)
    if own.vectors[1:]:
        as_heard = generator.integers(1, len(own.vectors), len(batch))
        version = np.where(generator.random(len(batch)) < written, 0, as_heard)
    by_row = np.repeat(version, lengths)
    flat = np.empty((len(rows), own.vectors[0].shape[1]), dtype=np.float32)
    for number, vectors in enumerate(own.vectors):
        flat[by_row == number] = vectors[rows[by_row == number]]
    mask = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
    padded = torch.zeros(*mask.shape, flat.shape[1])
    padded[mask] = torch.from_numpy(flat)
    return padded, mask, torch.from_numpy(own.shares[rows]).float()
