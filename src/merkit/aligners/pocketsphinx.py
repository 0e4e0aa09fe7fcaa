"""PocketSphinx: words and phones of English speech by forced alignment, with the model in its package.

Words are aligned first, then the phones within them (Sphinx' second pass). Each word must be in the pronouncing
dictionary (CMU's, 134,000 words) or in the user's own. Phones are ARPAbet without stress; syllables follow from them.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from pydantic import Field

from merkit.aligners.segments.tiers import checked_alignment
from merkit.aligners.segments.words import spoken_words
from merkit.core.alignment import Aligner, AlignerConfig, AlignerSpec, Alignment, Interval, TierName
from merkit.core.errors import ConfigError, MerkitError, UnalignableError
from merkit.core.once import once
from merkit.core.types import Turn
from merkit.data.files import file_hash
from merkit.encoders.sound.samples import RATE_HZ, waveform

_FRAME_S = 0.01
_WINDOW_S = 0.025625
_LAG_S = (_WINDOW_S - _FRAME_S) / 2
"""From the begin of a frame as PocketSphinx counts it to the part of the sound in the middle of its window."""
_PAD_S = 0.2
"""Silence added at both ends: the search expects some, and tightly cut clips lose their first phone."""


class PocketSphinxConfig(AlignerConfig):
    """Dictionary and search."""

    dictionary: str | None = None
    """A file with additional words, one a line: the word, then its phones as CMU writes them."""
    beam: float = Field(default=1e-200, gt=0.0, lt=1.0)
    """Pruning threshold; a smaller one finds more and takes longer. PocketSphinx' default is 1e-48."""


class PocketSphinx(Aligner):
    """Forced alignment, one utterance at a time; results do not depend on other utterances.

    Raises:
        MerkitError: The extra is not installed, or the user's dictionary is missing.
    """

    def __init__(self, config: PocketSphinxConfig) -> None:
        if config.dictionary is not None and not Path(config.dictionary).is_file():
            raise ConfigError(f"dictionary: no file '{config.dictionary}'")
        try:
            self._release = version("pocketsphinx")
        except PackageNotFoundError:
            message = "The aligner 'pocketsphinx' needs the extra 'align': pip install 'merkit[align]'"
            raise MerkitError(message) from None
        self.config = config
        self._searching = Lock()  # the decoder holds one utterance

    def fingerprint(self) -> Mapping[str, Any]:
        own = None if self.config.dictionary is None else file_hash(Path(self.config.dictionary))
        return {
            "aligner": "pocketsphinx",
            "version": 2,
            "release": self._release,
            "dictionary": own,
            "beam": self.config.beam,
        }

    def align(self, turn: Turn) -> Alignment:
        words = spoken_words(str(turn.utterance.text))
        unknown = [word for word in words if self._decoder.lookup_word(word) is None]
        if unknown:
            raise UnalignableError(
                f"'{unknown[0]}' is not in the dictionary; give its phones in a file with --set dictionary=FILE"
            )
        edge = np.zeros(round(_PAD_S * RATE_HZ), dtype=np.int16)
        samples = waveform(turn)
        sound = np.concatenate([edge, (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16), edge]).tobytes()
        with self._searching:
            intervals = self._search(words, sound)
        last_s = len(samples) / RATE_HZ
        tiers = {name: _clipped(row, last_s) for name, row in intervals.items()}
        alignment = checked_alignment(tiers, f"'{turn.utterance.id}' by PocketSphinx")
        if len(alignment["word"]) != len(words):
            raise UnalignableError(f"{len(alignment['word'])} of its {len(words)} words were found in the recording")
        return alignment

    def _search(self, words: list[str], sound: bytes) -> dict[TierName, list[Interval]]:
        decoder = self._decoder
        try:
            decoder.set_align_text(" ".join(words))
            _decode(decoder, sound)
            if decoder.hyp() is None:
                raise UnalignableError("its words do not fit its recording")
            decoder.set_alignment()
            _decode(decoder, sound)
            alignment = decoder.get_alignment()  # its entries are valid in one iteration alone
            found = [(_interval(word), [_interval(phone) for phone in word]) for word in alignment]
        except RuntimeError as error:  # the library gives no reason
            raise UnalignableError("its words do not fit its recording") from error
        return {"word": [word for word, _ in found], "phone": [phone for _, phones in found for phone in phones]}

    @once
    def _decoder(self) -> Any:
        import pocketsphinx

        model = Path(pocketsphinx.get_model_path("en-us"))
        # bestpath would replace the aligned words by others; dither would draw random numbers; a silprob below 1 makes
        # pauses less probable, and words are then extended over the pause before them
        decoder = pocketsphinx.Decoder(
            hmm=str(model / "en-us"),
            dict=str(model / "cmudict-en-us.dict"),
            lm=None,
            loglevel="FATAL",
            bestpath=False,
            silprob=1.0,
            samprate=RATE_HZ,
            wlen=_WINDOW_S,
            beam=self.config.beam,
            pbeam=self.config.beam,
            wbeam=self.config.beam**0.6,
            cmn="batch",
            dither=False,
        )
        for word, phones in _pronunciations(self.config.dictionary):
            try:
                decoder.add_word(word, phones, update=True)
            except RuntimeError as error:
                raise ConfigError(
                    f"{self.config.dictionary}: '{word} {phones}' is refused: the word is known already, or a phone "
                    "is not one of CMU's"
                ) from error
        return decoder


def _decode(decoder: Any, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, no_search=False, full_utt=True)
    decoder.end_utt()


def _interval(entry: Any) -> Interval:
    start_s = entry.start * _FRAME_S + _LAG_S - _PAD_S
    return Interval(entry.name, start_s, start_s + entry.duration * _FRAME_S)


def _clipped(intervals: list[Interval], last_s: float) -> list[Interval]:
    """Return the intervals within the recording, in tenths of a millisecond, without those in the added silence."""
    cut = [Interval(e.label, round(max(e.start_s, 0.0), 4), round(min(e.end_s, last_s), 4)) for e in intervals]
    return [each for each in cut if each.end_s > each.start_s]


def _pronunciations(path: str | None) -> list[tuple[str, str]]:
    if path is None:
        return []
    pronunciations = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        word, _, phones = line.strip().partition(" ")
        if word and not phones.strip():
            raise ConfigError(f"{path}, line {number}: '{line}' found, expected a word and its phones")
        if word:
            pronunciations.append((word.lower(), " ".join(phones.upper().split())))
    return pronunciations


SPEC = AlignerSpec(
    name="pocketsphinx",
    summary="forced alignment of English by PocketSphinx: phones, syllables and words, nothing to download",
    config=PocketSphinxConfig,
    build=PocketSphinx,
)
