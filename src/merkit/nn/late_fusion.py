"""Late fusion: the weighted mean of several models' probabilities, with weights that are fixed or fitted."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from merkit.core.precision import at_least_float32

_STEPS = 2000
_GAIN = 1e-10
"""EM stops when a step raises the mean log-likelihood by less."""


def log_mixture(
    logits: Float[Tensor, "models *batch classes"],
    weights: Float[Tensor, " models"],
    counted: Bool[Tensor, "models *batch"],  # noqa: F821 (axes)
) -> Float[Tensor, "*batch classes"]:
    """Return ``log sum_m w_m p_m`` over the models that count for an item, with their weights scaled to sum to 1.

    If all that count have weight 0, they have equal weights; if none counts, the result is uniform.

    Args:
        logits: Of each model, before softmax; anything finite where it does not count.
        weights: At least 0.
        counted: Which models count for which item.
    """
    shape = (-1, *[1] * (counted.dim() - 1))
    own = torch.where(counted, weights.to(logits.device, torch.float32).view(shape), 0.0)
    all_zero = own.sum(0) == 0
    own = torch.where(all_zero, counted.float(), own)
    log_p = torch.log_softmax(at_least_float32(logits), dim=-1)
    # the logarithm of a weight of 0 is never taken: its slope there is infinite
    terms = torch.where((own > 0).unsqueeze(-1), own.clamp(min=1e-30).log().unsqueeze(-1) + log_p, -torch.inf)
    terms = torch.where(~counted.any(0, keepdim=True).unsqueeze(-1), 0.0, terms)
    return torch.log_softmax(torch.logsumexp(terms, dim=0), dim=-1)  # which scales the weights to sum to 1


def fitted_weights(
    logits: Float[Tensor, "models items classes"], labels: Int[Tensor, " items"]
) -> Float[Tensor, " models"]:
    """Return the weights (at least 0, sum 1) under which the mixture gives the labels the highest likelihood.

    The likelihood is concave in the weights, and EM for mixture weights (Dempster, Laird & Rubin 1977, section 4.3)
    reaches the maximum from any interior point; so no single model has a higher likelihood on the same items. Without
    items the weights are equal. The result is on the CPU: thousands of steps on a few numbers.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    models = len(logits)
    weights = torch.full((models,), 1.0 / models, dtype=torch.float64)
    if not labels.numel():
        return weights
    log_p = torch.log_softmax(logits.double(), dim=-1).gather(2, labels.expand(models, -1).unsqueeze(-1)).squeeze(-1)
    scale = log_p.amax(dim=0)  # an item to which all give a probability near 0 must not become 0 / 0
    likelihoods = (log_p - scale).exp()
    before = -torch.inf
    for _ in range(_STEPS):
        mixed = weights @ likelihoods
        now = float(mixed.log().mean())
        if now - before < _GAIN:
            break
        before = now
        weights = weights * (likelihoods / mixed).mean(dim=1)
    alone = likelihoods.clamp(min=torch.finfo(torch.float64).tiny).log().mean(dim=1)
    if float(alone.max()) > before:  # EM approaches a corner without reaching it
        return torch.nn.functional.one_hot(alone.argmax(), models).double()
    return weights / weights.sum()
