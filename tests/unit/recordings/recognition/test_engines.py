"""The engines with Whisper base itself, on real speech, and what they say of files that are no network."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.networks import write_whisper
from tests.speech import RATE_HZ

import merkit
from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.data.media.audio import read_audio
from merkit.recordings.recognition import models
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.hugging_face import HuggingFaceWhisper
from merkit.recordings.recognition.models import BUILTIN, open_engine
from merkit.recordings.recognition.recognise import recognise
from merkit.weights.folders import network_folder

ENGINES: dict[str, Callable[[], Engine]] = {
    "faster-whisper": lambda: open_engine(BUILTIN),
    "transformers": lambda: HuggingFaceWhisper(str(network_folder(BUILTIN))),
}


@pytest.fixture(scope="module")
def kids(real_data: Path) -> merkit.Waveform:
    """Return "Kids are talking by the door", spoken by actor 1 from second 1.0 to 2.3."""
    files = sorted((real_data / "ravdess").rglob("03-01-01-01-01-01-01.*"))
    assert files, "RAVDESS is incomplete"
    return merkit.Waveform(read_audio(files[0], RATE_HZ, 0.0, 2.8), RATE_HZ)


@pytest.mark.data
@pytest.mark.parametrize("name", ENGINES)
def test_real_speech_has_its_words_with_times_and_language_without_a_network(
    kids: merkit.Waveform, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    engine = ENGINES[name]()

    language, probability = engine.find_language(np.asarray(kids.samples))
    found = recognise(engine, kids, language=language)

    assert (language, probability > 0.9) == ("en", True)
    (line,) = found.lines
    assert line.text == "Kids are talking by the door."
    assert [word.text for word in line.words] == ["Kids", "are", "talking", "by", "the", "door."]
    ends = [word.end_s for word in line.words]
    assert ends == sorted(ends)
    # both engines align by the same heads; listened to: "talking" ends at 1.58 s, "door" at 2.2 s
    assert line.words[2].end_s == pytest.approx(1.58, abs=0.15)
    assert 1.9 < line.end_s < 2.6
    assert set(engine.languages) >= {"en", "pl", "de"}


def test_a_folder_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ct2").mkdir()
    (tmp_path / "ct2" / "model.bin").write_bytes(b"\x06\0\0\0nonsense")
    with pytest.raises(CheckpointError, match=r"has no config\.json and no tokenizer\.json"):
        open_engine(str(tmp_path / "ct2")).identity()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "ct2" / name).write_text("{}")
    with pytest.raises(CheckpointError, match="holds no Whisper network that CTranslate2 reads"):
        open_engine(str(tmp_path / "ct2")).find_language(np.zeros(RATE_HZ, np.float32))

    encoder = write_whisper(tmp_path / "encoder", whole=True)
    with pytest.raises(CheckpointError, match="Cannot recognise words with"):
        open_engine(str(encoder)).find_language(np.zeros(RATE_HZ, np.float32))


def test_a_name_that_is_no_recogniser_is_refused() -> None:
    with pytest.raises(ConfigError, match="No built-in network 'builtin:whisper-huge'"):
        open_engine("builtin:whisper-huge")
    with pytest.raises(MerkitError, match="recognises no words"):
        open_engine("builtin:minilm").identity()
    with pytest.raises(ConfigError, match="No folder 'nowhere'"):
        open_engine("nowhere")
    with pytest.raises(ConfigError, match="40 hexadecimal digits"):
        open_engine("openai/whisper-base@main")


def test_a_missing_extra_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    open_engine.cache_clear()

    with pytest.raises(MerkitError, match=r"pip install 'merkit\[asr,speech\]'"):
        open_engine(BUILTIN)


def test_a_recogniser_is_loaded_once() -> None:
    assert open_engine(BUILTIN) is open_engine(BUILTIN)
