"""Recognition with a Whisper in Hugging Face's format: a folder, or a hub id with its revision; float32.

Weights are read from safetensors alone and no code beside them is run. The search has the same beams as the other
engine's; times of words come from the cross-attention of the heads that the network's ``generation_config.json`` names,
and are left out where it names none.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from merkit.core.errors import CheckpointError
from merkit.core.once import once
from merkit.data.files import file_hash
from merkit.data.media.audio import Wave
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.loading import FROM_FOLDER, quiet, reason
from merkit.nn.allocation import bounded_memory
from merkit.recordings.recognition.engine import RATE_HZ, WINDOW_S, Passage, Word

_BEAMS = 5
"""As in the released code."""
_READ = (".json", ".txt", ".safetensors")
"""Endings of the files that the library reads."""
_STAMP_S = 0.02
"""Seconds between two time stamps (Radford et al. 2022, section 2.3)."""
_SPACE = "Ġ"
"""Begins a token with a space before it, in the vocabulary of byte-level BPE."""


class HuggingFaceWhisper:
    """An engine of the network that a folder or a hub id names; nothing is loaded before the first recording.

    Raises:
        ConfigError: There is no such folder, or the hub id has no pinned revision.
    """

    def __init__(self, weights: str, revision: str | None = None) -> None:
        self._files = NetworkFiles(weights, revision, None)

    @property
    def name(self) -> str:
        files = self._files
        return files.weights if files.revision is None else f"{files.weights}@{files.revision}"

    @property
    def languages(self) -> Sequence[str]:
        return sorted(code.strip("<|>") for code in self._languages) or ["en"]

    def identity(self) -> Mapping[str, Any]:
        about: Mapping[str, Any] = self._files.identity(with_weights=True)
        if self._files.kind == "local":
            every = sorted(path for path in self._files.weights_folder.iterdir() if path.suffix in _READ)
            about = {"weights": "local", "files": {path.name: file_hash(path) for path in every}}
        return {"engine": "transformers", **about, "beams": _BEAMS}

    def find_language(self, samples: Wave) -> tuple[str, float]:
        if not self._languages:
            return "en", 1.0
        _, begin = self._begin(samples)
        names, numbers = zip(*self._languages.items(), strict=True)
        probabilities = begin[list(numbers)].softmax(0)
        best = int(probabilities.argmax())
        return names[best].strip("<|>"), float(probabilities[best])

    def recognise(self, samples: Wave, language: str) -> Sequence[Passage]:
        network, _, tokenizer = self._loaded
        settings = network.generation_config
        encoded, begin = self._begin(samples)
        aligned = getattr(settings, "alignment_heads", None) is not None
        multilingual = {"language": language, "task": "transcribe"} if self._languages else {}
        with quiet(), torch.inference_mode():
            output = network.generate(
                encoded.last_hidden_state.new_zeros(1, network.config.num_mel_bins, 2 * encoded[0].shape[1]),
                encoder_outputs=encoded,
                num_beams=_BEAMS,
                do_sample=False,
                return_timestamps=True,
                return_token_timestamps=aligned,
                return_dict_in_generate=True,
                output_scores=True,
                force_unique_generate_call=True,
                **multilingual,
            )
        tokens = output["sequences"][0].tolist()
        times = output["token_timestamps"][0].tolist() if aligned else None
        no_speech = float(begin.softmax(0)[settings.no_timestamps_token_id - 1])
        log_probability = float(output["sequences_scores"][0])
        length_s = len(samples) / RATE_HZ
        return [
            Passage(
                start_s,
                end_s,
                tokenizer.decode(tokens[first:last]),
                tuple(self._words(tokens, times, first, last, end_s)) if times else (),
                no_speech,
                log_probability,
            )
            for first, last, start_s, end_s in self._stamped(tokens, length_s)
        ]

    def _stamped(self, tokens: Sequence[int], length_s: float) -> Iterator[tuple[int, int, float, float]]:
        """Yield first and one-past-last number of the words between two time stamps, and these, in seconds."""
        settings = self._loaded[0].generation_config
        stamp, end = settings.no_timestamps_token_id + 1, settings.eos_token_id
        first, start_s = None, 0.0
        for number, token in enumerate(tokens):
            if token >= stamp or token == end:
                at_s = (token - stamp) * _STAMP_S if token >= stamp else length_s
                if first is not None:
                    yield first, number, start_s, min(at_s, length_s)
                first, start_s = None, at_s
            elif token < end and first is None:
                first = number

    def _words(
        self, tokens: Sequence[int], times: Sequence[float], first: int, last: int, end_s: float
    ) -> Iterator[Word]:
        """Yield the words of a passage. Times of tokens are those of their ends; punctuation has none of its own."""
        tokenizer = self._loaded[2]
        names = tokenizer.convert_ids_to_tokens(list(tokens[first:last]))
        spoken = [any(letter.isalnum() for letter in name) for name in names]
        begins = [n for n, name in enumerate(names) if n == 0 or (name.startswith(_SPACE) and spoken[n])]
        start_s = times[first - 1]
        for begin, after in zip(begins, [*begins[1:], len(names)], strict=True):
            at = max((n for n in range(begin, after) if spoken[n]), default=begin)
            stop_s = min(times[first + at], end_s)
            yield Word(min(start_s, stop_s), stop_s, tokenizer.decode(tokens[first + begin : first + after]), None)
            start_s = stop_s

    @torch.inference_mode()
    def _begin(self, samples: Wave) -> tuple[Any, Tensor]:
        """Return the encoded sound, and the logits of the first token after the one that begins a transcript."""
        network, extractor, _ = self._loaded
        features = extractor(samples[: round(WINDOW_S * RATE_HZ)], sampling_rate=RATE_HZ, return_tensors="pt")
        encoded = network.get_encoder()(features.input_features)
        begin = torch.tensor([[network.generation_config.decoder_start_token_id]])
        return encoded, network(encoder_outputs=encoded, decoder_input_ids=begin).logits[0, -1]

    @once
    def _languages(self) -> Mapping[str, int]:
        """The tokens of the languages; none for a network of English alone."""
        return getattr(self._loaded[0].generation_config, "lang_to_id", None) or {}

    @once
    def _loaded(self) -> tuple[Any, Any, Any]:
        """The network, its feature extractor and its tokenizer."""
        import transformers

        library: Any = transformers  # its functions carry no types
        self._files.weights_folder  # noqa: B018 (refuses a folder without safetensors)
        folder = self._files.whole_folder
        try:
            with quiet(), bounded_memory(folder):
                network = library.WhisperForConditionalGeneration.from_pretrained(
                    folder, use_safetensors=True, dtype=torch.float32, **FROM_FOLDER
                )
                extractor = library.AutoFeatureExtractor.from_pretrained(folder, **FROM_FOLDER)
                tokenizer = library.AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
        except Exception as error:  # settings and weights that do not fit raise errors of many kinds
            raise CheckpointError(f"Cannot recognise words with '{self.name}': {reason(error)}") from error
        if getattr(network.generation_config, "no_timestamps_token_id", None) is None:
            raise CheckpointError(f"Cannot recognise words with '{self.name}': it has no generation_config.json")
        return network.eval(), extractor, tokenizer
