"""Batches bounded by seconds of audio: every item once, never over the bound, the same when asked again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.miniature import write_tone

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError
from merkit.core.lookup import load
from merkit.core.model import Level
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.data.dataset import Bound, Dataset, bucketed_batches, items_of, ordered_batches
from merkit.data.features.sources import FeatureSource, open_sources
from merkit.training.config import TrainingConfig
from merkit.training.loop import train
from merkit.training.plan import Plan


def speech(items: int, seconds: float = 1e9) -> Bound:
    """Return recordings as long as those of IEMOCAP: log-normal, mean 4.5 s, 0.6 to 34 s."""
    lengths_s = np.random.default_rng(0).lognormal(np.log(4.5) - 0.5 * 0.7**2, 0.7, items).clip(0.6, 34.0)
    return Bound(seconds, [1] * items, lengths_s.tolist())


def steps_of(bound: Bound) -> list[int]:
    return [round(100 * length_s) for length_s in bound.longest_s]


def plan(bound: Bound, processes: int = 1, *, bounded: bool = True, **settings: object) -> Plan:
    return Plan(steps_of(bound), None, bound if bounded else None, TrainingConfig(**settings), 7, processes)


def test_no_batch_is_longer_than_the_bound_and_every_item_is_drawn_once() -> None:
    bound = speech(1000, 40.0)

    batches = bucketed_batches(steps_of(bound), 64, 3, bound)

    padded_s = [len(batch) * max(bound.longest_s[item] for item in batch) for batch in batches]
    assert sorted(item for batch in batches for item in batch) == list(range(1000))
    assert max(padded_s) <= 40.0
    assert max(map(len, batches)) <= 64
    # nor needlessly small: of 1000 neighbours in length only the longest, above 13 s, leave much of it
    assert np.mean(padded_s) > 30.0


def test_batches_by_hand() -> None:
    bound = Bound(8.0, [1, 1, 1, 1, 0], [4.0, 1.0, 2.0, 9.0, 0.0])

    batches = ordered_batches(steps_of(bound), 3, bound)

    # nothing, 1 s, 2 s (three is the most), then 4 s (2 x 9 s would be 18), then 9 s alone, over the bound
    assert batches == [[4, 1, 2], [0], [3]]
    assert sorted(bucketed_batches(steps_of(bound), 3, 0, bound)) == sorted(batches)


def test_conversations_cost_their_utterances_times_the_longest_of_the_batch() -> None:
    # by hand: conversations of 2 and 3 turns cost 5 x 4 s = 20 s together, those of 3 and 4 7 x 2 s, all three 9 x 4 s
    for seconds, expected in ((19.9, [[1], [0, 2]]), (20.0, [[1, 0], [2]]), (36.0, [[1, 0, 2]])):
        assert ordered_batches([3, 2, 4], 9, Bound(seconds, [3, 2, 4], [2.0, 4.0, 1.0])) == expected


def test_an_epoch_s_batches_are_the_same_whenever_they_are_asked_for_and_differ_between_epochs() -> None:
    first, again = (plan(speech(300, 30.0)) for _ in range(2))
    again.batches(1)

    assert first.batches(2) == again.batches(2) != first.batches(1)


def test_a_bound_that_is_never_reached_changes_nothing() -> None:
    lengths = steps_of(speech(100))

    assert bucketed_batches(lengths, 8, 5, speech(100, 1e9)) == bucketed_batches(lengths, 8, 5)
    assert ordered_batches(lengths, 8, speech(100, 1e9)) == ordered_batches(lengths, 8)


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 1), (1, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize("bounded", [False, True])
def test_the_schedule_counts_the_steps_that_are_taken(processes: int, accumulation: int, bounded: bool) -> None:
    plans = plan(speech(200, 20.0), processes, bounded=bounded, epochs=4, batch_size=16, accumulation=accumulation)

    taken = 0
    for epoch in range(1, 5):
        shares = [plans.share(epoch, process) for process in range(processes)]
        assert len({len(share) for share in shares}) == 1
        assert {index for share in shares for batch in share for index in batch} == set(range(200))
        taken += len(range(0, len(shares[0]), accumulation))

    assert plans.steps() == taken


def tones(folder: Path) -> Manifest:
    utterances = []
    for number in range(12):
        write_tone(folder / f"{number}.wav", 200.0 + 40 * number, 0.1 * (1 + number % 4))
        name, label = f"u{number}", "ab"[number % 2]
        talk = f"c{number // 3}"
        utterances.append(Utterance(name, talk, number % 3, "anna", audio=f"{number}.wav", attributes={"label": label}))
    return write_manifest(folder, utterances, name="tones", version=1)


def dataset(manifest: Manifest, level: Level = "utterance") -> Dataset:
    spec = load("encoders", "logmel")
    torch.manual_seed(0)
    encoder = spec.build(spec.config(n_mels=8, dim=4, layers=2), "audio", EncoderHome())
    labels = {u.id: "ab".index(str(u.attributes["label"])) for u in manifest.utterances}
    items = items_of(manifest.turns(labels), level, labels)
    turns = [turn for item in items for turn in item]
    return Dataset(items, open_sources({"audio": encoder}, turns, manifest.root / "features"), level, labels)


def test_seconds_are_those_of_the_recordings(tmp_path: Path) -> None:
    manifest = tones(tmp_path)

    single, talks = dataset(manifest).bound(5.0), dataset(manifest, "conversation").bound(5.0)

    assert single.utterances == [1] * 12
    assert single.longest_s == pytest.approx([0.1, 0.2, 0.3, 0.4] * 3, abs=1e-4)
    assert talks.utterances == [3] * 4
    assert talks.longest_s == pytest.approx([0.3, 0.4, 0.4, 0.4], abs=1e-4)


def test_an_audio_encoder_of_published_features_and_none_at_all_are_refused() -> None:
    class Silent(Encoder):
        """Reads published features, not recordings."""

        published_features = "praat"

    Silent.__abstractmethods__ = frozenset()

    with pytest.raises(ConfigError, match="needs an audio encoder that reads recordings, but there is none"):
        Dataset([], {}, "utterance").bound(1.0)
    with pytest.raises(ConfigError, match="this one reads published features"):
        Dataset([], {"audio": FeatureSource(Silent(), None)}, "utterance").bound(1.0)


def test_a_resumed_run_with_bounded_batches_ends_with_the_weights_and_rates_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    manifest = tones(tmp_path / "data")
    config = TrainingConfig(
        epochs=3, batch_seconds=0.8, schedule="linear", learning_rates={"encoders": 1e-2, "head": 1e-2}
    )

    def run(folder: Path, stop_at: int = 99) -> tuple[list[float], dict[str, torch.Tensor]]:
        data = dataset(manifest)
        spec = load("models", "single")
        model = spec.build({"audio": data.sources["audio"].encoder}, 2, spec.config())
        calls: list[int] = []

        def measure(_: object) -> dict[str, float]:
            calls.append(1)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return {"accuracy": 0.5}

        trained = train(
            model, data, config, seed=1, folder=folder, measure=measure, metric="accuracy", selection="last",
            accelerator=Accelerator(),
        )  # fmt: skip
        rates = [row["learning_rate"]["head"] for row in trained.history]
        return rates, {name: tensor.clone() for name, tensor in model.state_dict().items()}

    rates, calm = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stop_at=2)
    resumed_rates, resumed = run(tmp_path / "b")

    assert all(torch.equal(resumed[name], tensor) for name, tensor in calm.items())
    assert resumed_rates == rates
    steps = Plan.of(dataset(manifest), config, 1).steps()
    assert steps > 9  # more than without the bound: three epochs of one batch
    assert rates[-1] == pytest.approx(1e-2 / steps)  # linear: the last step has one part of all the steps left


@pytest.mark.parametrize("kind", ["plain", "balanced", "bounded"])
def test_with_a_bucket_of_one_batch_neighbours_have_nothing_in_common(kind: str) -> None:
    lengths, classes = list(range(1, 1025)), [0, 1] * 512
    chosen = classes if kind == "balanced" else None
    bound = Bound(40.0, [1] * 1024, [length / 100 for length in lengths]) if kind == "bounded" else None

    def spread(bucket: int) -> float:
        batches = Plan(lengths, chosen, bound, TrainingConfig(batch_size=16, bucket=bucket), 7).batches(1)
        assert kind == "balanced" or sorted(item for batch in batches for item in batch) == list(range(1024))
        return float(np.mean([np.std(batch) for batch in batches if len(batch) > 2]))

    # items are numbered by length: all of them deviate by 296, a 14th of them, as each of the last 14 batches is, by 21
    assert spread(1) > 200
    assert spread(50) < 25
