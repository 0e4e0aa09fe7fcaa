"""The state between two epochs, saved and loaded."""

from pathlib import Path

import torch

from merkit.training.state import TrainingProgress, finished_epochs, load_best, load_state, save_state


def test_the_best_weights_are_kept_where_there_are_no_hard_links(tmp_path: Path, no_hard_links: None) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters())
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    save_state(tmp_path, model.state_dict(), optimizer, TrainingProgress(epoch=1, best_epoch=1))
    last = {name: tensor + 1 for name, tensor in best.items()}
    save_state(tmp_path, last, optimizer, TrainingProgress(epoch=2, best_epoch=1))

    assert finished_epochs(tmp_path) == 2
    assert load_state(tmp_path, model, optimizer).best_epoch == 1
    assert all(torch.equal(tensor, last[name]) for name, tensor in model.state_dict().items())
    load_best(tmp_path, model)
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())
