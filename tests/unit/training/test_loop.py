import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.tiny import write_corpus

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import EncoderHome
from merkit.core.errors import ConfigError, NonFiniteLossError
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.core.protocol import Selection
from merkit.data.dataset import Dataset, items_of
from merkit.data.features.sources import open_sources
from merkit.training import loop
from merkit.training.config import TrainingConfig
from merkit.training.loop import train
from merkit.training.state import TrainingProgress

CONFIG = TrainingConfig(epochs=4, batch_size=7, learning_rates={"head": 1e-2})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    manifest = write_corpus(tmp_path_factory.mktemp("corpus"), conversations=10)
    spec = load("encoders", "precomputed")
    encoder = spec.build(spec.config(features="sound"), "audio", EncoderHome(data=manifest.root))
    labels = {u.id: ("calm", "cross", "glad").index(str(u.attributes["label"])) for u in manifest.utterances}
    items = items_of(manifest.turns(labels), "utterance", labels)
    sources = open_sources({"audio": encoder}, [item[0] for item in items], manifest.root / "features")
    found = Dataset(items, sources, "utterance", labels)
    encoder.fit(found.arrays("audio"))
    return found


def model(dataset: Dataset) -> Model:
    torch.manual_seed(0)
    spec = load("models", "single")
    built: Model = spec.build({"audio": dataset.sources["audio"].encoder}, 3, spec.config(dropout=0.3))
    return built


def run(
    dataset: Dataset,
    folder: Path,
    config: TrainingConfig = CONFIG,
    values: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    selection: Selection = "best_valid",
    build: Callable[[Dataset], Model] = model,
) -> tuple[TrainingProgress, Model]:
    left = iter(values)
    fresh = build(dataset)
    trained = train(
        fresh,
        dataset,
        config,
        seed=3,
        folder=folder,
        measure=lambda _: {"accuracy": next(left)},
        metric="accuracy",
        selection=selection,
        accelerator=Accelerator(),
    )
    return trained, fresh


def weights(model: Model) -> Mapping[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_chosen_epoch_is_the_first_of_the_best_on_validation(dataset: Dataset, tmp_path: Path) -> None:
    trained, chosen = run(dataset, tmp_path / "a", values=(0.1, 0.5, 0.5, 0.2))
    _, second = run(dataset, tmp_path / "b", TrainingConfig(**{**CONFIG.model_dump(), "epochs": 2}))

    assert (trained.best_epoch, trained.epoch) == (2, 4)
    assert all(torch.equal(weights(chosen)[name], tensor) for name, tensor in weights(second).items())


def test_last_takes_the_last_epoch_whatever_validation_says(dataset: Dataset, tmp_path: Path) -> None:
    trained, _ = run(dataset, tmp_path, values=(0.9, 0.5, 0.5, 0.2), selection="last")

    assert trained.best_epoch == 4


def test_patience_ends_training_without_gain(dataset: Dataset, tmp_path: Path) -> None:
    config = TrainingConfig(**{**CONFIG.model_dump(), "epochs": 8, "patience": 2})

    trained, _ = run(dataset, tmp_path, config, values=(0.1, 0.5, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9))

    assert (trained.best_epoch, trained.epoch) == (2, 4)


def test_a_resumed_run_ends_with_the_weights_of_an_undisturbed_one(dataset: Dataset, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed_in_epoch_3(_: Model) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return {"accuracy": len(calls) / 10}

    calls: list[int] = []
    _, undisturbed = run(dataset, tmp_path / "a")
    common = {"seed": 3, "folder": tmp_path / "b", "metric": "accuracy", "selection": "best_valid"}
    with pytest.raises(Killed):
        train(model(dataset), dataset, CONFIG, measure=killed_in_epoch_3, accelerator=Accelerator(), **common)

    trained, resumed = run(dataset, tmp_path / "b", values=(0.3, 0.4))

    assert trained.epoch == 4
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(undisturbed).items())
    rows = [json.loads(line) for line in (tmp_path / "b" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


PLATEAU = TrainingConfig(
    epochs=5, schedule="plateau", plateau_patience=1, learning_rates={"head": 1e-2}, optimizer="sgd", momentum=0.0
)


def rates(trained: TrainingProgress) -> list[float]:
    return [row["learning_rate"]["head"] for row in trained.history]


def test_a_plateau_of_the_validation_loss_lowers_the_rates_also_after_a_kill(dataset: Dataset, tmp_path: Path) -> None:
    def measured(losses: list[float]) -> Callable[[Model], dict[str, float]]:
        left = iter(losses)
        return lambda _: {"accuracy": 0.5, "loss": next(left)}

    common = {"seed": 3, "metric": "accuracy", "selection": "last"}
    calm = train(
        model(dataset), dataset, PLATEAU, folder=tmp_path / "a", measure=measured([1.0, 1.0, 1.0, 0.9, 0.8]),
        accelerator=Accelerator(), **common,
    )  # fmt: skip
    with pytest.raises(StopIteration):
        train(
            model(dataset), dataset, PLATEAU, folder=tmp_path / "b", measure=measured([1.0, 1.0, 1.0]),
            accelerator=Accelerator(), **common,
        )  # fmt: skip
    resumed = train(
        model(dataset), dataset, PLATEAU, folder=tmp_path / "b", measure=measured([0.9, 0.8]),
        accelerator=Accelerator(), **common,
    )  # fmt: skip

    # by hand: epochs 2 and 3 are not better, one more than is borne
    assert rates(calm) == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3])
    assert rates(resumed) == rates(calm)


def test_accumulated_batches_make_the_step_of_one_large_batch(dataset: Dataset, tmp_path: Path) -> None:
    def without_dropout(data: Dataset) -> Model:
        torch.manual_seed(0)
        spec = load("models", "single")
        built: Model = spec.build({"audio": data.sources["audio"].encoder}, 3, spec.config(dropout=0.0))
        return built

    common = {"learning_rates": {"head": 0.5}, "optimizer": "sgd", "momentum": 0.0, "clip": 0.0, "epochs": 1}
    _, large = run(dataset, tmp_path / "a", TrainingConfig(batch_size=50, **common), build=without_dropout)
    small = TrainingConfig(batch_size=10, accumulation=5, **common)
    _, accumulated = run(dataset, tmp_path / "b", small, build=without_dropout)

    for name, tensor in weights(large).items():
        torch.testing.assert_close(weights(accumulated)[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5], ids=["many steps", "few steps"])
def test_a_loss_that_is_not_finite_is_an_error_that_names_the_batch(
    dataset: Dataset, tmp_path: Path, batch_size: int
) -> None:
    class Broken(Model):
        def __init__(self, inner: Model) -> None:
            super().__init__({})
            self.inner = inner

        def forward(self, batch: Batch) -> ModelOutput:
            output: ModelOutput = self.inner(batch)
            return ModelOutput(output.logits * torch.tensor(float("nan")) if "c003_1" in batch.ids else output.logits)

    with pytest.raises(NonFiniteLossError, match=r"classification\) became NaN or infinite in epoch 1.*c003_1"):
        run(
            dataset,
            tmp_path,
            TrainingConfig(batch_size=batch_size, learning_rates={"head": 1e-3}),
            values=(),  # nothing is measured
            build=lambda d: Broken(model(d)),
        )


def test_a_term_that_only_some_batches_have_counts_in_the_means_of_all(dataset: Dataset, tmp_path: Path) -> None:
    class Sometimes(Model):
        def __init__(self, inner: Model) -> None:
            super().__init__({})
            self.inner = inner

        def forward(self, batch: Batch) -> ModelOutput:
            return self.inner(batch)

        def loss(self, output: ModelOutput, batch: Batch) -> dict[str, torch.Tensor]:
            terms = {"classification": output.logits.sum() * 0.0 + 2.0}
            return {**terms, "rare": torch.tensor(3.0)} if "c003_1" in batch.ids else terms

    config = TrainingConfig(batch_size=1, epochs=1, learning_rates={"head": 1e-3})
    trained, _ = run(dataset, tmp_path, config, build=lambda d: Sometimes(model(d)))

    losses = trained.history[0]["loss"]
    assert losses["classification"] == pytest.approx(2.0)
    assert losses["rare"] == pytest.approx(3.0 / len(dataset))


class Watched(Model):
    """Tells when which hook was called, and what it found there."""

    def __init__(self, inner: Model) -> None:
        super().__init__({})
        self.inner = inner
        self.calls: list[str] = []

    def forward(self, batch: Batch) -> ModelOutput:
        output: ModelOutput = self.inner(batch)
        return output

    def start_epoch(self, epoch: int) -> None:
        self.calls.append(f"epoch {epoch}")

    def after_backward(self, batch: Batch, output: ModelOutput) -> None:
        assert output.logits.shape == (len(batch.ids), 3)
        assert all(parameter.grad is not None for parameter in self.parameters())
        self.calls.append("backward")

    def before_step(self) -> None:
        grads = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        assert torch.nn.utils.get_total_norm(grads) < 1e-3 * (1 + 1e-5)  # CLIPPED
        self.before = weights(self)
        self.calls.append("before")

    def after_step(self) -> None:
        assert any(not torch.equal(tensor, self.before[name]) for name, tensor in self.state_dict().items())
        self.calls.append("after")

    def logged_values(self) -> Mapping[str, float]:
        return {"calls": float(len(self.calls))}


CLIPPED = TrainingConfig(epochs=2, batch_size=20, accumulation=2, clip=1e-3, learning_rates={"head": 1e-2})


def test_hooks_are_called_around_each_step_and_the_model_s_figures_stand_in_the_history(
    dataset: Dataset, tmp_path: Path
) -> None:
    assert 41 <= len(dataset) <= 60  # three batches an epoch: a step of two and one of one

    trained, watched = run(dataset, tmp_path, CLIPPED, build=lambda d: Watched(model(d)))

    assert isinstance(watched, Watched)
    epoch = ["backward", "backward", "before", "after", "backward", "before", "after"]
    assert watched.calls == ["epoch 1", *epoch, "epoch 2", *epoch]
    assert [row["model"] for row in trained.history] == [{"calls": 8.0}, {"calls": 16.0}]


def test_gradients_that_a_hook_takes_away_move_nothing(dataset: Dataset, tmp_path: Path) -> None:
    class Frozen(Watched):
        def before_step(self) -> None:
            for parameter in self.parameters():
                assert parameter.grad is not None
                parameter.grad.zero_()

        def after_step(self) -> None:
            pass

    config = TrainingConfig(epochs=1, weight_decay=0.0, learning_rates={"head": 1e-2})

    _, kept = run(dataset, tmp_path, config, build=lambda d: Frozen(model(d)))

    assert isinstance(kept, Frozen)
    fresh = model(dataset).state_dict()
    assert all(torch.equal(kept.inner.state_dict()[name], tensor) for name, tensor in fresh.items())


def test_a_layer_that_is_used_in_two_places_is_trained_and_resumed(dataset: Dataset, tmp_path: Path) -> None:
    class Shared(Model):
        def __init__(self, inner: Model) -> None:
            super().__init__({})
            self.inner = self.again = inner

        def forward(self, batch: Batch) -> ModelOutput:
            output: ModelOutput = self.inner(batch)
            return output

    _, trained = run(dataset, tmp_path, build=lambda d: Shared(model(d)))
    again, resumed = run(dataset, tmp_path, build=lambda d: Shared(model(d)), values=())

    assert again.epoch == 4
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(trained).items())


def test_every_epoch_draws_views_anew_and_a_resumed_run_draws_the_same(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws: list[int] = []
    real = loop.load_batches

    def watched(drawn: Dataset, *arguments: int) -> Iterator[Batch]:
        draws.append(drawn.draw)
        return real(drawn, *arguments)

    monkeypatch.setattr(loop, "load_batches", watched)
    run(dataset, tmp_path / "calm")
    run(dataset, tmp_path / "stopped", CONFIG.model_copy(update={"epochs": 2}))
    run(dataset, tmp_path / "stopped")

    assert len(draws) == 4 + 2 + 2
    assert len(set(draws[:4])) == 4
    assert draws[4:] == draws[:4]


def test_balanced_batches_hold_every_class_and_end_alike_when_resumed(dataset: Dataset, tmp_path: Path) -> None:
    config = TrainingConfig(**{**CONFIG.model_dump(), "epochs": 2, "balanced": True})
    seen: list[list[int]] = []

    class Watching(Dataset):
        def batch(self, indices: Sequence[int]) -> Batch:
            found = super().batch(indices)
            assert found.labels is not None
            seen.append(found.labels.bincount(minlength=3).tolist())
            return found

    watching = Watching(dataset.items, dataset.sources, dataset.level, dataset.labels)
    _, undisturbed = run(watching, tmp_path / "a", config)
    shorter = TrainingConfig(**{**config.model_dump(), "epochs": 1})
    run(dataset, tmp_path / "b", shorter)
    _, resumed = run(dataset, tmp_path / "b", config, values=(0.2,))

    assert len(seen) == 2 * 8  # 50 utterances in batches of 7
    assert all(max(counts) - min(counts) <= 1 and sum(counts) == 7 for counts in seen)
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(undisturbed).items())


def test_conversations_are_not_balanced(dataset: Dataset, tmp_path: Path) -> None:
    talks = Dataset(dataset.items, dataset.sources, "conversation", dataset.labels)

    with pytest.raises(ConfigError, match="for models of utterances"):
        run(talks, tmp_path, TrainingConfig(**{**CONFIG.model_dump(), "balanced": True}))
