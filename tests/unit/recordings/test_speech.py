"""Sound without speech gets no label: silence, noise, music, channels that cancel; and speech is never refused."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from tests.commandline import call
from tests.networks import write_text_network
from tests.speech import speech
from tests.tiny import built

import merkit
from merkit.io.checkpoint import save_checkpoint
from merkit.recordings import silero
from merkit.recordings.speech import has_speech, speech_regions

LABELS = ("calm", "cross", "glad")
LOGMEL = {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}
RATE_HZ = 16_000
TIME = np.arange(3 * RATE_HZ) / RATE_HZ


def noise(exponent: float) -> np.ndarray:
    """Noise whose power falls with this power of the frequency: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(TIME)))
    samples = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** (-exponent / 2), len(TIME))
    return 0.5 * samples / np.abs(samples).max()


def chords() -> np.ndarray:
    """Three plucked chords, a second each."""
    fading = 0.1 * np.exp(-3 * (TIME % 1.0))
    roots = 220 * 2 ** (np.array([0, 5, 7])[TIME.astype(int)] / 12)
    notes = [np.sin(2 * np.pi * roots * step * h * TIME) / h for step in (1, 1.25, 1.5) for h in (1, 2, 3)]
    return fading * np.sum(notes, axis=0)


WITHOUT_SPEECH = {
    "silence": np.zeros(3 * RATE_HZ),
    "a constant": np.full(3 * RATE_HZ, 0.3),
    "one sample": np.array([0.2]),
    "white noise": noise(0),
    "faint white noise": 1e-3 * noise(0),
    "pink noise": noise(1),
    "brown noise": noise(2),
    "a tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "a dial tone": 0.5 * np.sin(2 * np.pi * 425 * TIME) * (TIME % 1.0 < 0.5),
    "hum": 0.3 * np.sin(2 * np.pi * 50 * TIME) + 0.1 * np.sin(2 * np.pi * 150 * TIME),
    "music": chords(),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    network = write_text_network(folder / "network", ["i", "said", "tuesday", "hello"])
    text = {"name": "bert", "weights": str(network), "max_tokens": 16}
    for name, model, encoders in (
        ("audio", "single", {"audio": LOGMEL}),
        ("both", "concat", {"text": text, "audio": LOGMEL}),
        ("conversation", "bc_lstm", {"text": text, "audio": LOGMEL}),
        ("text", "single", {"text": text}),
    ):
        torch.manual_seed(0)
        save_checkpoint(folder / name, *built(model, encoders, LABELS), {}, "")
    return folder


@pytest.fixture(scope="module")
def audio(checkpoints: Path) -> merkit.EmotionRecognizer:
    return merkit.load(checkpoints / "audio")


@pytest.mark.parametrize("sound", WITHOUT_SPEECH)
def test_sound_without_speech_gets_no_label(audio: merkit.EmotionRecognizer, sound: str) -> None:
    result = audio(WITHOUT_SPEECH[sound], rate_hz=RATE_HZ)

    (segment,) = result.segments
    assert (segment.label, segment.prediction, segment.reason) == (None, None, "no speech")
    assert result.notes[0].startswith("It has no label: no speech was found in the sound")


def test_speech_gets_a_label_at_any_level_and_rate(audio: merkit.EmotionRecognizer) -> None:
    samples = speech(2.0)

    found = [
        audio(sound, rate_hz=rate_hz).segments[0]
        for sound, rate_hz in (
            (samples, 16_000),
            (0.01 * samples, 16_000),
            (samples[::2], 8_000),
            (3 * samples, 16_000),
        )
    ]

    assert [segment.label in LABELS and segment.reason is None for segment in found] == [True] * 4


def test_channels_that_cancel_are_named_and_one_of_them_is_read(
    checkpoints: Path, audio: merkit.EmotionRecognizer
) -> None:
    samples = speech(2.0)
    for other in (-samples, -0.9 * samples):
        result = audio(np.stack([samples, other]), rate_hz=RATE_HZ, channels="mix")

        assert (result.segments[0].label, result.segments[0].reason) == (None, "the channels cancel")
        assert "read one of them with --channels left" in result.notes[0]
        chosen = audio(np.stack([samples, other]), rate_hz=RATE_HZ)
        assert chosen.segments[0].label is not None
        assert chosen.stages["channels"].endswith("cancel out when mixed (correlation -1.00): the left one is read.")
    left = audio(np.stack([samples, -samples]), rate_hz=RATE_HZ, channels="left").segments[0]
    assert left.prediction is not None
    expected = audio(samples, rate_hz=RATE_HZ).segments[0].prediction
    assert expected is not None
    assert left.prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-4)


def test_each_channel_is_checked_where_they_are_split(audio: merkit.EmotionRecognizer) -> None:
    sound = np.stack([speech(2.0), 1e-3 * noise(0)[: 2 * RATE_HZ]])

    result = audio(sound, rate_hz=RATE_HZ, channels="split")

    assert [(segment.speaker, segment.reason) for segment in result.segments] == [
        ("left", None),
        ("right", "no speech"),
    ]
    assert result.notes[0].startswith("1 of 2 utterances have no label: no speech was found")


def write_call(folder: Path) -> tuple[Path, Path]:
    """Write a call of four seconds with speech in the first and third, and words for all but the last."""
    still = np.zeros(RATE_HZ, np.float32)
    sf.write(folder / "call.wav", np.concatenate([speech(1.0), still, speech(1.0, 1), still]), RATE_HZ)
    rows = [(0, 1, "Ann", "i said"), (1, 2, "Ben", "hello"), (2, 3, "Ann", "tuesday"), (3, 4, "Ben", "")]
    lines = [f"{start},{end},{who},{text}" for start, end, who, text in rows]
    (folder / "call.csv").write_text("\n".join(["start_s,end_s,speaker,text", *lines]))
    return folder / "call.wav", folder / "call.csv"


@pytest.mark.parametrize("model", ["both", "conversation"])
def test_words_label_an_utterance_whose_sound_has_no_speech(checkpoints: Path, tmp_path: Path, model: str) -> None:
    recording, transcript = write_call(tmp_path)

    result = merkit.load(checkpoints / model)(recording, transcript=transcript)

    assert [segment.modalities for segment in result.segments] == [("text", "audio"), ("text",), ("text", "audio"), ()]
    assert [segment.reason for segment in result.segments] == [None, None, None, "no speech"]
    assert [note.split(":")[0] for note in result.notes if "no speech" in note] == [
        "1 of 4 utterances have no label",
        "1 of 4 utterances are labelled from words alone",
    ]


def test_words_alone_give_the_prediction_of_an_utterance_without_sound(checkpoints: Path) -> None:
    recognizer = merkit.load(checkpoints / "both")

    found = recognizer(noise(0), rate_hz=RATE_HZ, text="hello").segments[0].prediction

    expected = recognizer.texts(["hello"])[0]
    assert found is not None
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_a_model_of_words_reads_no_sound_to_check(checkpoints: Path, tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"")
    sf.write(tmp_path / "call.wav", np.zeros(RATE_HZ), RATE_HZ)

    result = merkit.load(checkpoints / "text")(tmp_path / "call.wav", text="hello")

    assert result.segments[0].label in LABELS
    assert result.notes == []


def test_the_check_can_be_turned_off_for_models_of_other_sounds(
    checkpoints: Path, audio: merkit.EmotionRecognizer, tmp_path: Path
) -> None:
    tone = WITHOUT_SPEECH["a tone"]
    sf.write(tmp_path / "tone.wav", tone, RATE_HZ)

    done = call("-q", "analyze", tmp_path / "tone.wav", "--checkpoint", checkpoints / "audio", "--no-speech-check")

    assert audio(tone, rate_hz=RATE_HZ, speech_check=False).segments[0].label in LABELS
    assert done.code == 0
    assert "no speech" not in done.out


def test_every_output_says_why_there_is_no_label(checkpoints: Path, tmp_path: Path) -> None:
    recording, transcript = write_call(tmp_path)
    options = "--checkpoint", checkpoints / "both", "--transcript", transcript

    printed = call("-q", "analyze", recording, *options, "--out", tmp_path / "out")
    as_json = call("-q", "analyze", recording, *options, "--json")
    result = merkit.load(checkpoints / "both")(recording, transcript=transcript)

    assert (printed.code, as_json.code) == (0, 0), printed.error
    assert "(no speech)" in printed.out
    assert "1 of 4 utterances have no label: no speech" in printed.out
    written = json.loads((tmp_path / "out" / "call.json").read_text())
    assert written["segments"] == json.loads(as_json.out)["segments"]
    last = written["segments"][-1]
    assert (last["label"], last["reason"], last["probabilities"], last["confidence"]) == (None, "no speech", None, None)
    assert [segment["reason"] for segment in written["segments"][:3]] == [None, None, None]
    rows = list(csv.DictReader((tmp_path / "out" / "call.csv").read_text().splitlines()))
    assert [row["reason"] for row in rows] == ["", "", "", "no speech"]
    assert {rows[3][name] for name in ("label", "confidence", *LABELS)} == {""}
    frame = result.to_pandas()
    assert frame["label"].isna().tolist() == [False, False, False, True]
    assert frame["p:calm"].isna().tolist() == [False, False, False, True]
    assert frame["reason"].tolist()[3] == "no speech"
    assert "<small>no speech</small>" in result.to_html(tmp_path / "page.html").read_text()


def test_the_detector_imports_no_code_of_its_package_and_leaves_threads_alone() -> None:
    code = (
        "import sys, numpy, torch\nfrom merkit.recordings import silero\n"
        "torch.set_num_threads(3)\nsilero.probabilities([numpy.zeros(1600, numpy.float32)])\n"
        "print(torch.get_num_threads(), sorted({'silero_vad', 'torchaudio', 'onnxruntime'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout == "3 []\n", done.stderr


def test_probabilities_do_not_depend_on_the_blocks() -> None:
    samples = np.concatenate([speech(20.0), noise(0).astype(np.float32), speech(20.0, 1)])

    whole = silero.probabilities([samples])
    blocks = silero.probabilities(np.array_split(samples, 101))

    np.testing.assert_allclose(blocks, whole, atol=1e-5)
    assert len(whole) == -(-len(samples) // 512)


def test_hours_of_digital_silence_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "probabilities", lambda _: pytest.fail("the network was run"))

    assert speech_regions(merkit.Waveform(np.zeros(130 * RATE_HZ, np.float32), RATE_HZ)) == []


def test_regions_are_those_of_the_speech_and_are_given_in_the_times_of_the_recording() -> None:
    still = np.zeros(70 * RATE_HZ, np.float32)
    sound = merkit.Waveform(np.concatenate([still, speech(3.0), still[:RATE_HZ], 0.02 * speech(2.0, 1)]), RATE_HZ)

    whole = np.array(speech_regions(sound))
    part = np.array(speech_regions(sound, 71.0, 73.5))

    np.testing.assert_allclose(whole, [[70, 73], [74, 76]], atol=0.15)
    np.testing.assert_allclose(part, [[71, 73]], atol=0.15)


@pytest.mark.parametrize("corpus", ["nemo/samples", "ravdess/audio", "emodb/audio", "emovo/audio"])
def test_real_clips_are_never_refused(real_data: Path, corpus: str) -> None:
    files = sorted(path for path in (real_data / corpus).rglob("*") if path.suffix in (".flac", ".wav", ".mp3"))
    assert len(files) > 100

    refused = [file.name for file in files[:: len(files) // 12] if not has_speech(file)]

    assert refused == []
