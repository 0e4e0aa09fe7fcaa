import pytest
import torch
from torch import nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import EncoderConfig
from merkit.core.model import CausalConfig, Citation, Model, ModelConfig


class Plain(Model):
    """A model that leaves every default as it is."""

    def __init__(self) -> None:
        super().__init__({})
        self.head = nn.Linear(2, 3)

    def forward(self, batch: Batch) -> ModelOutput:
        return ModelOutput(self.head(torch.ones(len(batch.ids), 2)))


def test_validation_changes_nothing_in_a_model_that_fits_nothing_there() -> None:
    model = Plain()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    model.fit_on_validation([(ModelOutput(torch.randn(4, 3)), torch.tensor([0, 1, 2, -100]))])

    assert model.fits_on_validation is False
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_config_with_causal_that_is_no_causal_config_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="make it a subclass of CausalConfig"):

        class Typo(ModelConfig):
            causal: bool = False


def test_a_causal_config_says_whether_it_is_causal() -> None:
    class Settings(CausalConfig):
        size: int = 1

    assert not ModelConfig().is_causal()
    assert not Settings().is_causal()
    assert Settings(causal=True).is_causal()


def test_a_loss_counts_what_is_asked_for_alone() -> None:
    model = Plain()
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [9.0, 9.0, 9.0]])
    batch = Batch(
        ids=("a", "b"), mask=torch.tensor([True, True, False]), inputs={}, present={}, speakers=torch.zeros(3).long(),
        labels=torch.tensor([0, 0, -100]),
    )  # fmt: skip

    first = model.classification_loss(logits, batch, torch.tensor([True, False, True]))

    # -log softmax(2, 0, 0) at the first class, by hand: log(e^2 + 2) - 2
    assert first.item() == pytest.approx(0.2395447, abs=1e-6)
    assert model.classification_loss(logits, batch).item() == pytest.approx((0.2395447 + 2.2395447) / 2, abs=1e-6)


def test_a_citation_in_one_line_is_read_from_its_bibtex_entry() -> None:
    citation = Citation(
        url="https://doi.org/10.1000/1",
        bibtex="""@article{cao2014cremad,
  title   = {{CREMA-D}: Crowd-Sourced Emotional
             Dataset},
  author  = {Cao, Houwei and Cooper, David G.},
  journal = {IEEE Transactions},
  year    = {2014}
}""",
    )

    assert citation.short == "Cao, Cooper: CREMA-D: Crowd-Sourced Emotional Dataset (IEEE Transactions 2014)"
    assert citation.field("doi") == ""


def test_a_config_reads_augmented_views_and_trains_no_network_unless_it_says_otherwise() -> None:
    assert ModelConfig().needs_views()
    assert not EncoderConfig().trains_network
