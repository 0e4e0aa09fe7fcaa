import torch
from torch import nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.model import Model


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
