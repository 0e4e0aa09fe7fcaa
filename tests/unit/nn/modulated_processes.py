"""Two processes that modulate the same gradient: `modulated_processes.py FOLDER`; see test_modulation.py.

Each writes ``<rank>.json``: the sum of the changed gradient, one of its numbers, and the figures.
"""

import json
import sys
from pathlib import Path

import torch

from merkit.nn.modulation import Modulation

STRONG, WEAK = (torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.0]]))


def modulate(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # as the loop seeds them: each its own
    text = torch.nn.Parameter(torch.zeros(2000, 10))
    text.grad = torch.randn(2000, 10, generator=torch.Generator().manual_seed(0))  # averaged: the same on both
    watching = Modulation(("audio", "text"), alpha=0.42, target="gradient", noise="before", first_epoch=1)
    watching.start_epoch(1, torch.device("cpu"))
    there = torch.ones(1, dtype=torch.bool)
    logits = {"text": (STRONG, WEAK)[rank], "audio": WEAK}
    watching.watch(logits, torch.tensor([0]), {"text": there, "audio": there})
    watching.before_step({"audio": [torch.nn.Parameter(torch.zeros(1))], "text": [text]})
    found = {"sum": text.grad.double().sum().item(), "one": text.grad[7, 3].item(), "figures": watching.logged_values()}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(modulate, (Path(sys.argv[1]),), nprocs=2)
