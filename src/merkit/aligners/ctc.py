"""Words from any Hugging Face CTC checkpoint (wav2vec 2.0, HuBERT, WavLM fine-tuned to write letters), in its language.

The alignment is the most probable path of the transcript's letters through the network's scores of frames (Viterbi); a
word lasts from the first frame of its first letter to the last frame of its last. Such networks tend to write a letter
in one frame, late in its sound, so that words come out too short.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from merkit.aligners.segments.tiers import checked_alignment
from merkit.aligners.segments.words import spoken_words
from merkit.core.alignment import Aligner, AlignerConfig, AlignerSpec, Alignment, Interval
from merkit.core.errors import ConfigError, MerkitError, UnalignableError
from merkit.core.once import once
from merkit.core.types import Turn
from merkit.data.strict_json import parse_json
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.loading import FROM_FOLDER, read_network_config, reason
from merkit.encoders.sound.samples import RATE_HZ, waveform
from merkit.encoders.wav2vec2 import receptive_field


class CtcConfig(AlignerConfig):
    """Which network."""

    weights: str
    """A local folder or a hub id."""
    revision: str | None = None
    """Commit of a hub id, 40 hexadecimal digits."""


class Ctc(Aligner):
    """Aligns words; each recording is run alone, without padding.

    The weights are read when the first recording is aligned.

    Raises:
        MerkitError: The network is missing or writes no letters.
    """

    def __init__(self, config: CtcConfig) -> None:
        self.files = NetworkFiles(config.weights, config.revision, None)
        self._config = read_network_config(self.files)
        strides, blank = getattr(self._config, "conv_stride", None), self._config.pad_token_id
        if strides is None or blank is None:
            raise ConfigError(f"'{config.weights}' is no speech network that writes letters and a blank")
        self._hop_s = float(np.prod(strides)) / RATE_HZ
        self._blank = int(blank)
        self._letters = _letters(self.files)
        self._device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")

    def fingerprint(self) -> Mapping[str, Any]:
        return {"aligner": "ctc", "version": 1, "network": self.files.identity(with_weights=True)}

    def align(self, turn: Turn) -> Alignment:
        words = spoken_words(str(turn.utterance.text))
        tokens: list[int] = []
        firsts = []
        for word in words:
            if tokens and "|" in self._letters:
                tokens.append(self._letters["|"])
            firsts.append(len(tokens))
            tokens += [self._token(letter) for letter in word]
        spans = letter_spans(self._scores(turn), tokens, self._blank)
        intervals = []
        for word, first in zip(words, firsts, strict=True):
            start, end = spans[first][0], spans[first + len(word) - 1][1]
            intervals.append(Interval(word, round(start * self._hop_s, 4), round(end * self._hop_s, 4)))
        return checked_alignment({"word": intervals}, f"'{turn.utterance.id}' by CTC")

    def _token(self, letter: str) -> int:
        for written in (letter, letter.upper(), letter.lower()):
            if written in self._letters:
                return self._letters[written]
        raise UnalignableError(f"'{letter}' is none of the letters that '{self.files.weights}' writes")

    def _scores(self, turn: Turn) -> npt.NDArray[np.float64]:
        """Return the log probabilities ``[frames, letters]`` of a recording."""
        samples = self._extractor(waveform(turn), sampling_rate=RATE_HZ, return_tensors="pt").input_values
        if samples.shape[-1] < receptive_field(self._config):
            raise UnalignableError("its recording is shorter than one frame")
        with torch.inference_mode():
            logits = self._network(samples.to(self._device)).logits[0]
        scores: npt.NDArray[np.float64] = logits.double().log_softmax(-1).cpu().numpy()
        return scores

    @once
    def _network(self) -> Any:
        from transformers import AutoModelForCTC

        try:
            network = AutoModelForCTC.from_pretrained(
                self.files.weights_folder, config=self._config, use_safetensors=True, **FROM_FOLDER
            )
        except (OSError, ValueError, KeyError) as error:
            raise MerkitError(f"'{self.files.weights}' cannot be used as a CTC network: {reason(error)}") from error
        return network.eval().to(self._device)

    @once
    def _extractor(self) -> Any:
        from transformers import Wav2Vec2FeatureExtractor as Library

        extractor: Any = Library  # its constructor carries no types
        if (self.files.folder / "preprocessor_config.json").is_file():
            return extractor.from_pretrained(self.files.folder, **FROM_FOLDER)
        return extractor()


def letter_spans(scores: npt.NDArray[np.float64], tokens: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """Return the first frame and the end (excluded) of each token on the most probable path through all of them.

    The states of CTC (Graves et al., ICML 2006, section 4.1): a blank before, between and after the tokens; it may be
    skipped, except between two equal tokens.

    Args:
        scores: Log probabilities ``[frames, letters]``.
        tokens: At least one.
        blank: Number of the blank.

    Raises:
        UnalignableError: There are fewer frames than the tokens need.
    """
    frames = len(scores)
    needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))
    if frames < needed:
        raise UnalignableError(f"its recording has {frames} frames, its letters need {needed}")
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    may_skip = np.zeros(len(states), dtype=bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, states[:2]]
    came = np.zeros((frames, len(states)), dtype=np.int8)
    for frame in range(1, frames):
        stay, step = best, np.concatenate([[-np.inf], best[:-1]])
        skip = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf)
        ways = np.stack([stay, step, skip])
        came[frame] = ways.argmax(axis=0)
        best = ways.max(axis=0) + scores[frame, states]
    state = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= came[frame, state]
    frames_of = [np.flatnonzero(path == 2 * number + 1) for number in range(len(tokens))]
    return [(int(own[0]), int(own[-1]) + 1) for own in frames_of]


def _letters(files: NetworkFiles) -> dict[str, int]:
    path = files.folder / "vocab.json"
    try:
        vocabulary = parse_json(path.read_text(encoding="utf-8"))
        return {str(letter): int(number) for letter, number in vocabulary.items()}
    except FileNotFoundError:
        raise MerkitError(f"'{files.folder}' holds no vocab.json: it is no CTC network that writes letters") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise MerkitError(f"'{path}' does not map letters to numbers ({error}); one vocabulary is expected") from error


SPEC = AlignerSpec(
    name="ctc",
    summary="words by any Hugging Face CTC checkpoint, in its language",
    config=CtcConfig,
    build=Ctc,
)
