"""Nguyen et al., "Ada2I: Enhancing Modality Balance for Multimodal Conversational Emotion Recognition", ACM MM 2024.

Each modality's utterance vectors are read in their conversation by a transformer of its own. Adaptive feature weighting
(AFW) multiplies each feature by an attention that stems from products over all modalities; adaptive modality weighting
(AMW) adds up cosines, so that the norm of its vectors gives no modality more weight; the modulation slows down the
encoders of the modalities that are ahead. Paper and released code differ in several points: ``profile`` chooses, and
each choice is a setting of its own.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import CausalConfig, Citation, ModalityDropoutConfig, Model, ModelSpec, ReleasedCode
from merkit.core.precision import at_least_float32
from merkit.models._ada2i_networks import CosineFusion, FeatureWeighting, LstmContext, Ring, TransformerContext
from merkit.nn.layers import encode
from merkit.nn.modulation import Modulation, Noise, Target
from merkit.nn.pooling import masked_mean

ORDER = ("audio", "text", "video")
"""Order of the modalities in the ring of products and in the output weights (released code: "atv")."""

RELEASED: Mapping[str, Any] = {
    "padding": "read",
    "layer_init": "copied",
    "ring": "mirrored",
    "bond_scale": False,
    "mapping_target": "output",
    "weight_norm": "classes",
    "cosine_scale": 1.0,
    "head": False,
    "disparity": "products",
    "noise": "after",
}
"""What the released code does where the paper says otherwise or nothing."""


class Ada2iConfig(ModalityDropoutConfig, CausalConfig):
    """Settings of ``ada2i``. Sizes are those for MELD; the recipes have the ones for the other corpora."""

    profile: Literal["paper", "released"] = "paper"
    """Whose defaults the settings have that are marked "released code: …" below."""

    hidden_size: int = Field(default=200, ge=1)
    """Of a modality's features (paper: 200 for MELD, 300 for IEMOCAP, 500 for CMU-MOSEI)."""
    rank: int = Field(default=6, ge=1)
    """Rank r of the products (paper: 6, 11, 10)."""
    encoder: Literal["transformer", "lstm"] = "transformer"
    """What reads a modality's conversation (released code has both)."""
    encoder_layers: int = Field(default=2, ge=1)
    """Released code; the paper does not say."""
    feed_forward: int = Field(default=2048, ge=1)
    """Inner dim of the transformer (released code: PyTorch's default)."""
    layer_init: Literal["independent", "copied"] = "independent"
    """Initial weights of the transformer's layers: drawn for each; released code: ``copied``, all equal to the first's,
    because PyTorch's ``TransformerEncoder`` copies one layer."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """In the encoders and after each feature weighting (paper)."""
    padding: Literal["masked", "read"] = "masked"
    """Released code: ``read``; padding is attended to and averaged, so that predictions depend on the batch."""

    feature_weighting: bool = True
    """Off: the paper's ablation without AFW."""
    weighting_layers: int = Field(default=2, ge=1)
    """Released code; the paper does not say."""
    beta: float = Field(default=0.55, ge=0.0)
    """Share of the unweighted feature (paper: 0.55 for MELD, 0.01 for IEMOCAP, where the released code has 0.012, 0.2
    for CMU-MOSEI)."""
    ring: Ring = "cyclic"
    """Order of the products: ``cyclic`` G_a M_t M_v, G_t M_v M_a, G_v M_a M_t (paper: a tensor ring); released code:
    ``mirrored``, the others always in the order audio, text, video: G_t M_a M_v."""
    bond_scale: bool = True
    """Divide the products by the square root of the rank (paper: sqrt(d_k), taken to be r); released code: no."""
    mapping_target: Literal["attention", "output"] = "attention"
    """What the attention mapping predicts: the attention, without a gradient into it (paper); released code: the
    weighted ``output``, with one."""

    modality_weighting: bool = True
    """Off: the paper's ablation without AMW; inner products in place of cosines, a linear layer over all features."""
    weight_norm: Literal["hidden", "classes"] = "hidden"
    """Along which axis output weights are normalised: ``hidden`` makes cosines (paper); released code: ``classes``."""
    cosine_scale: float = Field(default=10.0, gt=0.0)
    """What the cosines are multiplied by (MMCosine, Xu et al., ICASSP 2023); released code: 1."""
    head: bool = True
    """A two-layer ReLU network from the summed cosines to the logits, both with a loss (paper, eqs. 9 and 14); released
    code: no, the sums and a bias are the logits."""

    modulation: Target = "gradient"
    """What the coefficient slows down: an encoder's ``gradient`` (paper); its ``update`` (ours: Adam divides a constant
    factor of the gradient out again); ``none``: the paper's ablation without optimisation."""
    alpha: float = Field(default=0.4, ge=0.0)
    """Steepness of the coefficient (paper: 0.4 for MELD, where the released code has 0.42, 0.037 for IEMOCAP, 0.4 for
    CMU-MOSEI)."""
    modulation_start: int = Field(default=4, ge=1)
    """First epoch that is modulated (released code)."""
    disparity: Literal["terms", "products"] = "terms"
    """What a modality's own logits are: its ``terms`` in the sum of AMW; released code: ``products`` of features and
    output weights, not normalised."""
    noise: Noise = "before"
    """Gaussian noise on the encoders' gradients, as large as their standard deviation ``before`` they are scaled
    (paper); released code: ``after``; ``none``: ours."""

    @model_validator(mode="before")
    @classmethod
    def _profile_defaults(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("profile") == "released":
            return {**RELEASED, **values}
        return values


class Ada2i(Model):
    """Turns of a conversation to logits; an absent modality is left out of all means, products and sums."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: Ada2iConfig) -> None:
        super().__init__(encoders)
        self.config = config
        self.order = tuple(name for name in ORDER if name in encoders)
        self.reads_padding = config.padding == "read"
        self.own_terms = config.disparity == "terms"
        self.context = nn.ModuleDict()
        for name in self.order:
            dim = encoders[name].dim
            self.context[name] = (
                TransformerContext(
                    dim,
                    config.hidden_size,
                    config.encoder_layers,
                    config.feed_forward,
                    config.dropout,
                    config.causal,
                    copied=config.layer_init == "copied",
                )
                if config.encoder == "transformer"
                else LstmContext(dim, config.hidden_size, config.encoder_layers, config.dropout, config.causal)
            )
        self.weighting = nn.ModuleList(
            FeatureWeighting(
                self.order,
                config.hidden_size,
                rank=config.rank,
                beta=config.beta,
                dropout=config.dropout,
                ring=config.ring,
                bond_scale=config.bond_scale,
                target=config.mapping_target,
                causal=config.causal,
            )
            for _ in range(config.weighting_layers if config.feature_weighting else 0)
        )
        self.fusion = CosineFusion(
            self.order,
            config.hidden_size,
            classes,
            cosine=config.modality_weighting,
            weight_norm=config.weight_norm,
            scale=config.cosine_scale,
            bias=not config.head,
        )
        self.head = (
            nn.Sequential(nn.Linear(classes, config.hidden_size), nn.ReLU(), nn.Linear(config.hidden_size, classes))
            if config.head
            else None
        )
        self.modulation = Modulation(
            self.order,
            alpha=config.alpha,
            target=config.modulation,
            noise=config.noise,
            first_epoch=config.modulation_start,
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Return logits ``[items, turns, classes]``.

        Auxiliary outputs: ``fused``, AMW's sums ``[items, turns, classes]`` (the logits themselves if there is no
        head), its summands ``term.<modality>``, its input features ``feature.<modality>`` ``[items, turns, hidden]``,
        AFW's input features ``encoded.<modality>`` of the same shape, and ``mapping``, the L1 distances of the
        attention mapping, summed over layers.
        """
        ordered = {name: self.encoders[name] for name in self.order}
        features: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        for name, frames in encode(ordered, batch, self.config.modality_dropout, self.training).items():
            real = frames.mask.any(dim=-1)
            vectors = masked_mean(frames.data, frames.mask)
            seen[name] = torch.ones_like(real) if self.reads_padding else real
            # the released LSTM packs its sequences, so it reads real turns only even in the released profile
            packed = self.config.encoder == "lstm"
            features[name] = self.context[name](vectors, real if packed else seen[name])
        encoded, distances = dict(features), []
        for layer in self.weighting:
            features, distance = layer(features, seen)
            distances.append(distance)
        terms = self.fusion(features)
        fused = torch.stack(list(terms.values())).sum(dim=0)
        auxiliary = {
            "fused": fused,
            **{f"term.{name}": term for name, term in terms.items()},
            **{f"encoded.{name}": vectors for name, vectors in encoded.items()},
            **{f"feature.{name}": feature for name, feature in features.items()},
            **({"mapping": torch.stack(distances).sum()} if distances else {}),
        }
        return ModelOutput(fused if self.head is None else self.head(fused), auxiliary)

    def loss(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return L_cls, L_modal (with a head) and L_feature (with AFW), all of weight 1 (paper, eq. 14)."""
        terms = super().loss(output, batch)
        if self.head is not None:
            terms["modal"] = self.classification_loss(output.auxiliary["fused"], batch)
        if "mapping" in output.auxiliary:
            terms["feature"] = output.auxiliary["mapping"]
        return terms

    def start_epoch(self, epoch: int) -> None:
        """Reset the logged values; from ``modulation_start`` on, encoders are slowed down."""
        self.modulation.start_epoch(epoch, self.fusion.weight.device)

    def after_backward(self, batch: Batch, output: ModelOutput) -> None:
        """Record each modality's own probability of the true classes."""
        assert batch.labels is not None
        with torch.no_grad():
            own = {
                name: output.auxiliary[f"term.{name}"]
                if self.own_terms
                else self.fusion.product(name, at_least_float32(output.auxiliary[f"feature.{name}"]))
                for name in self.order
            }
        self.modulation.watch(own, batch.labels, {name: batch.mask & batch.present[name] for name in self.order})

    def before_step(self) -> None:
        """Slow down the gradients of the modalities that are ahead, and add noise."""
        self.modulation.before_step(self._modulated())

    def after_step(self) -> None:
        """Shorten the step of the modalities that are ahead, if ``modulation`` is ``update``."""
        self.modulation.after_step(self._modulated())

    def logged_values(self) -> Mapping[str, float]:
        """Return ``disparity.<modality>`` (rho) and ``coefficient.<modality>`` (k) of the epoch."""
        return self.modulation.logged_values()

    def _modulated(self) -> dict[str, list[nn.Parameter]]:
        """Return each modality's encoder: what reads its conversation, and what of its recipe's encoder is trained."""
        return {
            name: [
                p
                for module in (self.encoders[name], self.context[name])
                for p in module.parameters()
                if p.requires_grad
            ]
            for name in self.order
        }


CITATION = Citation(
    url="https://arxiv.org/abs/2408.12895",
    bibtex="""@inproceedings{nguyen2024ada2i,
  title = {Ada2I: Enhancing Modality Balance for Multimodal Conversational Emotion Recognition},
  author = {Nguyen, Cam-Van Thi and Le, The-Son and Mai, Anh-Tuan and Le, Duc-Trong},
  booktitle = {Proceedings of the 32nd ACM International Conference on Multimedia},
  year = {2024},
  eprint = {2408.12895},
  archiveprefix = {arXiv}
}""",
)

SPEC = ModelSpec(
    name="ada2i",
    summary="features and modalities weighed adaptively, learning balanced between modalities (ACM MM 2024)",
    level="conversation",
    config=Ada2iConfig,
    build=Ada2i,
    citation=CITATION,
    released=ReleasedCode("https://github.com/leson502/ADA2I", "24b9956", licence=None),
    representations={
        "encoded": "the modality alone, read in its conversation",
        "feature": "what is fused: AFW has let the conversation's other modalities in",
    },
    deviations=(
        "The default profile follows the paper; profile = 'released' follows the authors' code, which reads padding "
        "(so that predictions depend on the batch), mirrors one product of the ring, predicts the weighted output in "
        "place of the attention, normalises output weights across classes, has one classification loss and gives the "
        "transformer's layers equal initial weights.",
        "Where the paper gives no number, the released code's is used: layers, feed-forward dim, heads, the first "
        "epoch of the modulation.",
        "The paper's head is taken to read the summed cosines, a modality's own logits to be its summand, and "
        "sqrt(d_k) to be that of the rank.",
        "An absent modality of an utterance has no part in means, products and sums, and one that a whole conversation "
        "lacks is left out of the ring; the paper has none absent.",
        "Disparity ratios compare means over the utterances that have the modality, the paper's sums: the same "
        "where nothing is absent.",
        "Utterance vectors come from the recipe's encoders (time is averaged), not from the paper's.",
        "modulation = 'update', causal and modality_dropout are ours.",
    ),
)
