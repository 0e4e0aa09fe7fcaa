"""Recognition with faster-whisper (extra ``asr``), on a folder of CTranslate2's files; int8 on the CPU.

Beams and no random samples: the same sound gives the same words. faster-whisper's own checks of speech and of loops are
off, since both are done for every engine alike.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from merkit.core.errors import CheckpointError, first_line
from merkit.core.once import once
from merkit.data.files import file_hash
from merkit.data.media.audio import Wave
from merkit.recordings.recognition.engine import Passage, Word

WEIGHTS = "model.bin"
_FILES = ("config.json", "tokenizer.json", WEIGHTS)
"""Without a tokenizer of its own faster-whisper would ask the hub for one."""
_BEAMS = 5
"""The released code's default; on Polish clips a single beam has a fifth more wrong words in the same time."""


class FasterWhisper:
    """An engine of the folder that ``find`` returns; it is not called before the first recording."""

    def __init__(self, name: str, find: Callable[[], Path]) -> None:
        self._name = name
        self._find = find

    @property
    def name(self) -> str:
        return self._name

    @property
    def languages(self) -> Sequence[str]:
        return sorted(self._network.supported_languages)

    def identity(self) -> Mapping[str, Any]:
        files = {name: file_hash(self._folder / name) for name in _FILES}
        return {"engine": "faster-whisper", "files": files, "beams": _BEAMS}

    def find_language(self, samples: Wave) -> tuple[str, float]:
        if not self._network.model.is_multilingual:
            return "en", 1.0
        language, probability, _ = self._network.detect_language(audio=samples)
        return language, probability

    def recognise(self, samples: Wave, language: str) -> Sequence[Passage]:
        segments, _ = self._network.transcribe(
            samples,
            language=language,
            beam_size=_BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,  # a loop would go on into the next window
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            word_timestamps=True,
        )
        return [
            Passage(
                float(segment.start),
                float(segment.end),
                segment.text,
                tuple(
                    Word(float(word.start), float(word.end), word.word, float(word.probability))
                    for word in segment.words or ()
                ),
                float(segment.no_speech_prob),
                float(segment.avg_logprob),
            )
            for segment in segments
        ]

    @once
    def _folder(self) -> Path:
        folder = self._find()
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"'{folder}' has no {' and no '.join(missing)}: it is no network of faster-whisper")
        return folder

    @once
    def _network(self) -> Any:
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise CheckpointError("Recognition of words needs the extra 'asr': pip install 'merkit[asr]'") from None
        folder = self._folder
        try:
            return WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=torch.get_num_threads(),
                local_files_only=True,
            )
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"'{folder}' holds no Whisper network that CTranslate2 reads ({first_line(error)}). Get it again"
            ) from error
