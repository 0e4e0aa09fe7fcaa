"""Cost of fine-tuning the three utterance systems: utterances per second and peak memory, beside how others batch.

Run `python benchmarks/utterance.py`; it prints JSON. `aux_fusion`, `multilevel` and `mmer` are trained as in their
recipes for IEMOCAP with networks of Hugging Face's classes as large as wav2vec 2.0 base and BERT or RoBERTa base, of
random weights and in float32; the convolutional front end is frozen. Every setting trains batches of the same size, in
a process of its own, on one thread:

* ``bucketed``: batches of similar length, the speech encoder masks padding: what merkit does;
* ``bucketed, cached``: the same with ``cache_front_end``, once the front end's frames are stored (``mmer`` alone);
* ``random``: the same system in random batches;
* ``released``: MMER as its code was released (``profile = "released"``, ``unmasked_padding = true``) in random batches.

Batches are a sample of those of a whole epoch of 5,531 utterances, as many as IEMOCAP's four classes have: sorted by
their padded length and cut into equal parts, the middle one of each. The batches of few utterances would not do: the
fewer there are, the less alike those of similar length are.

Utterances are noise as long as IEMOCAP's (log-normal, mean 4.5 s, 0.6 to 34 s) with 2.5 words a second; a view is up to
a tenth faster or slower than its utterance, as those of ``perturb`` are. Words, syllables and phones of ``multilevel``
divide an utterance evenly. Random batches are of the shuffle whose padding is the median of 101 shuffles.

On the CPU seconds are those of the processor and memory is what the process' resident set grows by; with
``--device cuda`` seconds are elapsed ones and memory is the allocator's. Both begin before the model is built and
include reading the recordings. ``padding`` is the audio's padded length over its real one, of the epoch. A ratio is
always to another row of the same run; compare nothing between runs. ``cache_front_end`` of the result says by how much
the front end's stored frames change the loss of one training batch.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from _lengths import speech_lengths_s
from _processes import apart, peak_mib, resident_mib
from conversation import step

from merkit.core.encoder import EncoderHome
from merkit.core.lookup import load
from merkit.core.model import Model, reads_views
from merkit.core.types import Turn, Utterance
from merkit.data.dataset import Dataset, bucketed_batches
from merkit.data.features.sources import open_sources
from merkit.data.views import Views
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.shipped import shipped_folder
from merkit.training.config import TrainingConfig
from merkit.training.optimisation import build_optimizer, groups_of, layers_of

RATE_HZ = 16_000
CLASSES = 4
WORDS_PER_S = 2.5
WORDS = (
    *("i", "you", "we", "it", "so", "no", "yes", "well", "know", "just", "that", "what", "mean", "going"),
    *("really", "nothing", "because", "sorry", "listen", "remember"),
)
SHUFFLES = 101

TEXT_NETWORKS: Mapping[str, str] = {"aux_fusion": "bert", "multilevel": "bert", "mmer": "roberta"}
"""What each system's recipe reads text with."""
MARKS: Mapping[str, Mapping[str, str]] = {
    "bert": {"pad": "[PAD]", "unknown": "[UNK]", "begins": "[CLS]", "ends": "[SEP]"},
    "roberta": {"begins": "<s>", "pad": "<pad>", "ends": "</s>", "unknown": "<unk>"},
}
"""A text network's special tokens, by their numbers from 0."""
SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "base": {"speech": {}, "text": {}},  # the library's own defaults
    "quick": {
        "speech": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                   "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 2},
        "text": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                 "vocab_size": 64},
    },
}  # fmt: skip
"""``quick`` is for a test of this script alone."""
QUICK: Mapping[str, Mapping[str, Any]] = {
    "aux_fusion": {"dim": 16, "heads": 2, "feed_forward": 16},
    "multilevel": {"dim": 16, "heads": 2, "feed_forward": 16},
    "mmer": {},
}


@dataclass(frozen=True)
class Setting:
    """One way to train a system."""

    shuffled: bool = False
    """Random batches, in place of those that training makes."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, beside its recipe."""
    audio: Mapping[str, Any] = field(default_factory=dict)
    """Of the speech encoder."""


BUCKETED, RANDOM = Setting(), Setting(shuffled=True)
CACHED = Setting(audio={"cache_front_end": True})
RELEASED = Setting(shuffled=True, config={"profile": "released"}, audio={"unmasked_padding": True})
SYSTEMS: Mapping[str, Mapping[str, Setting]] = {
    "mmer": {"bucketed": BUCKETED, "bucketed, cached": CACHED, "random": RANDOM, "released": RELEASED},
    "aux_fusion": {"bucketed": BUCKETED, "random": RANDOM},
    "multilevel": {"bucketed": BUCKETED, "random": RANDOM},
}
RATIOS = (("bucketed", "random"), ("bucketed", "released"), ("bucketed, cached", "released"),
          ("bucketed, cached", "bucketed"))  # fmt: skip
"""Whose utterances per second are divided by whose. The last is what the cached front end saves in a step."""


@dataclass(frozen=True)
class Corpus:
    """What is trained on, and the networks to begin with."""

    folder: Path
    size: str
    turns: Sequence[Turn]
    views: Mapping[str, Turn]
    """By utterance id."""
    batches: Mapping[bool, Sequence[Sequence[int]]]
    """By whether they are random: those that are trained, as numbers of turns."""
    padding: Mapping[bool, float]
    """Of the epochs that they were taken from."""

    @classmethod
    def write(cls, folder: Path, size: str, utterances: int, batch_size: int, count: int) -> "Corpus":
        """Write networks, and the recordings that ``count`` batches of an epoch of ``utterances`` need."""
        lengths_s, generator = speech_lengths_s(utterances), np.random.default_rng(1)
        epochs = {False: bucketed_batches(lengths_s, batch_size, 0), True: random_batches(lengths_s, batch_size)}
        chosen = {shuffled: sample(lengths_s, batches, count) for shuffled, batches in epochs.items()}
        needed = sorted({item for batches in chosen.values() for batch in batches for item in batch})
        place = {item: number for number, item in enumerate(needed)}
        speech_network(**SIZES[size]["speech"]).save_pretrained(folder / "speech")
        for kind in MARKS:
            text_network(kind, **SIZES[size]["text"]).save_pretrained(folder / kind)
            write_tokenizer(folder / kind, kind)
        turns = [_turn(folder, f"u{item}", lengths_s[item], generator) for item in needed]
        paces = generator.uniform(0.9, 1.1, len(needed))
        views = {
            turn.utterance.id: _turn(folder, f"{turn.utterance.id}-view", lengths_s[item] / pace, generator)
            for turn, item, pace in zip(turns, needed, paces, strict=True)
        }
        numbered = {
            shuffled: [[place[item] for item in batch] for batch in batches] for shuffled, batches in chosen.items()
        }
        paddings = {shuffled: padding(lengths_s, batches) for shuffled, batches in epochs.items()}
        return cls(folder, size, turns, views, numbered, paddings)


def _turn(folder: Path, name: str, length_s: float, generator: np.random.Generator) -> Turn:
    samples = 0.1 * generator.standard_normal(round(length_s * RATE_HZ))
    soundfile.write(folder / f"{name}.wav", samples, RATE_HZ, subtype="PCM_16")
    text = " ".join(generator.choice(WORDS, max(1, round(WORDS_PER_S * length_s))))
    return Turn(Utterance(name, name, 0, "anna", text=text, audio=f"{name}.wav"), (), folder)


def speech_network(**settings: Any) -> Any:
    """Return a wav2vec 2.0 network of random weights; without settings it is as large as the published base one."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    return Wav2Vec2Model(Wav2Vec2Config(**settings))


def text_network(kind: str, **settings: Any) -> Any:
    """Return a BERT or RoBERTa network of random weights; without settings it is as large as the published base one."""
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    torch.manual_seed(0)
    if kind == "bert":
        return BertModel(BertConfig(**settings))
    published = {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1}
    return RobertaModel(RobertaConfig(**{**published, **settings}))


def write_tokenizer(folder: Path, kind: str) -> None:
    """Write a tokenizer that knows ``WORDS``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = MARKS[kind]
    numbers = {word: number for number, word in enumerate([*marks.values(), *WORDS])}
    begins, ends = marks["begins"], marks["ends"]
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=marks["unknown"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begins} $A {ends}",
        pair=f"{begins} $A {ends} $B:1 {ends}:1",
        special_tokens=[(begins, numbers[begins]), (ends, numbers[ends])],
    )
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=marks["unknown"], pad_token=marks["pad"], model_max_length=512
    )
    whole.save_pretrained(folder)


def segments_of(turns: Mapping[str, Turn], tier: str, utterance_id: str) -> np.ndarray:
    """Return times ``[segments, 2]`` in seconds: words of equal length, a phone for each letter, a syllable for three.

    Both divide their word evenly.
    """
    turn = turns[utterance_id]
    words = str(turn.utterance.text).split()
    parts = {
        "word": [1] * len(words),
        "syllable": [-(-len(word) // 3) for word in words],
        "phone": [len(word) for word in words],
    }[tier]
    word_s = soundfile.info(turn.root / str(turn.utterance.audio)).duration / len(words)
    cuts = [(place + part / count) * word_s for place, count in enumerate(parts) for part in range(count)]
    return np.stack([cuts, [*cuts[1:], len(words) * word_s]], axis=1)


class Training:
    """A system with its data, ready to be trained."""

    def __init__(self, system: str, setting: Setting, corpus: Corpus, batch_size: int) -> None:
        recipe = read_recipe(shipped_folder("recipes") / system / "iemocap4-session.toml")
        spec, quick = load("models", system), QUICK[system] if corpus.size == "quick" else {}
        config = spec.config(**{**recipe.config.model_dump(), **quick, **setting.config})
        torch.manual_seed(0)
        self.encoders = {
            "text": _encoder("bert", "text", corpus.folder / TEXT_NETWORKS[system]),
            "audio": _encoder("wav2vec2", "audio", corpus.folder / "speech", **setting.audio),
        }
        self.model: Model = spec.build(self.encoders, CLASSES, config).train()
        self.config: TrainingConfig = recipe.training.model_copy(update={"batch_size": batch_size, "balanced": False})
        views = corpus.views.values() if reads_views(spec, config) else ()
        started = time.process_time()
        self.sources = open_sources(self.encoders, [*corpus.turns, *views], corpus.folder / "features")
        self.extraction_s = time.process_time() - started
        by_id = {turn.utterance.id: turn for turn in corpus.turns}
        request = config.segments()
        tiers = () if request is None else request.tiers
        self.dataset = Dataset(
            [[turn] for turn in corpus.turns],
            self.sources,
            spec.level,
            labels={name: number % CLASSES for number, name in enumerate(by_id)},
            with_texts="texts" in spec.inputs,
            segments={tier: partial(segments_of, by_id, tier) for tier in tiers},
            views=Views({name: [turn] for name, turn in corpus.views.items()}, self.sources) if views else None,
        )
        self.optimizer = build_optimizer(
            groups_of(self.model, self.config.learning_rates), self.config, layers_of(self.model)
        )

    def step(self, items: Sequence[int], device: torch.device) -> None:
        """Read a batch and train it as the training loop does."""
        step(self.model, self.dataset.batch(items).to(device), self.optimizer, self.config.clip)


def _encoder(name: str, modality: str, weights: Path, **settings: Any) -> Any:
    spec = load("encoders", name)
    return spec.build(spec.config(weights=str(weights), frozen=False, **settings), modality, EncoderHome())


def random_batches(lengths: Sequence[float], batch_size: int) -> list[list[int]]:
    """Return random batches: the shuffle whose padding is the median of 101."""
    shuffles = [bucketed_batches([0] * len(lengths), batch_size, seed) for seed in range(SHUFFLES)]
    return sorted(shuffles, key=lambda batches: padding(lengths, batches))[SHUFFLES // 2]


def sample(lengths: Sequence[float], batches: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    """Return so many batches that stand for all: the middle ones of equal parts, by padded length."""
    ranked = sorted(batches, key=lambda batch: len(batch) * max(lengths[item] for item in batch))
    count = min(count, len(ranked))
    return [ranked[(2 * number + 1) * len(ranked) // (2 * count)] for number in range(count)]


def padding(lengths: Sequence[float], batches: Sequence[Sequence[int]]) -> float:
    """Return the batches' padded length over their real one."""
    padded = sum(len(batch) * max(lengths[item] for item in batch) for batch in batches)
    return padded / sum(lengths[item] for batch in batches for item in batch)


def measure(system: str, setting: Setting, corpus: Corpus, batch_size: int, device: torch.device) -> dict[str, Any]:
    """Train the corpus' batches in this process."""
    before = _peak_mib(device) if device.type == "cuda" else resident_mib()
    training = Training(system, setting, corpus, batch_size)
    model = training.model.to(device)
    model.start_epoch(1)
    batches, lengths = corpus.batches[setting.shuffled], training.dataset.lengths()
    torch.manual_seed(0)
    training.step([lengths.index(min(lengths))], device)  # first things cost more: the optimiser makes its averages
    started = _now(device)
    for batch in batches:
        training.step(batch, device)
    seconds = _now(device) - started
    return {
        "utterances_per_s": sum(map(len, batches)) / seconds,
        "seconds_per_step": seconds / len(batches),
        "peak_mib": _peak_mib(device) - before,
        "padding": corpus.padding[setting.shuffled],
        "batches": "random" if setting.shuffled else "similar length",
        "mask": not setting.audio.get("unmasked_padding", False),
    }


def compare_losses(system: str, corpus: Corpus, batch_size: int, device: torch.device) -> dict[str, Any]:
    """Store the front end's frames, and return the loss of one training batch without and with them."""
    losses = []
    for setting in (BUCKETED, CACHED):
        training = Training(system, setting, corpus, batch_size)
        model = training.model.to(device)
        batch = training.dataset.batch(range(batch_size)).to(device)
        torch.manual_seed(0)  # the same dropout
        with torch.no_grad():
            losses.append(float(sum(model.loss(model(batch), batch).values())))
    return {
        "loss": losses[0],
        "loss_cached": losses[1],
        "difference": abs(losses[1] - losses[0]),
        "extraction_seconds": training.extraction_s,
    }


def _peak_mib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def ratios(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return by how much settings of one system are faster than others."""
    return {
        f"{fast} / {slow}": rows[fast]["utterances_per_s"] / rows[slow]["utterances_per_s"]
        for fast, slow in RATIOS
        if fast in rows and slow in rows
    }


def run(
    size: str, systems: Sequence[str], utterances: int, batch_size: int, batches: int, device: torch.device
) -> dict[str, Any]:
    """Measure all settings of the systems."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Corpus.write(Path(temporary), size, utterances, batch_size, batches)
        for system in systems:
            rows: dict[str, dict[str, Any]] = {}
            found[system] = {"settings": rows}
            if "bucketed, cached" in SYSTEMS[system]:
                found[system]["cache_front_end"] = apart(compare_losses, system, corpus, batch_size, device)
                print(f"{system}: {json.dumps(found[system]['cache_front_end'])}", file=sys.stderr, flush=True)
            for name, setting in SYSTEMS[system].items():
                rows[name] = apart(measure, system, setting, corpus, batch_size, device)
                print(f"{system}, {name}: {json.dumps(rows[name])}", file=sys.stderr, flush=True)
            found[system]["utterances_per_s_ratios"] = ratios(rows)
    return {"size": size, "utterances": utterances, "batch_size": batch_size, "batches": batches, "device": str(device),
            "torch": torch.__version__, "systems": found}  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--utterances", type=int, default=5531, help="of an epoch; by default IEMOCAP's four classes")
    parser.add_argument("--batches", type=int, default=8, help="of the epoch's, as many as are trained")
    parser.add_argument("--batch-size", type=int, default=4, help="by default that of MMER's paper")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="tiny networks: does it run?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = "quick" if arguments.quick else "base"
    sizes = (arguments.utterances, arguments.batch_size, arguments.batches)
    found = run(size, arguments.systems, *sizes, arguments.device)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
