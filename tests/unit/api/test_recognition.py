"""The public interface: from any kind of input to predictions, without a file written and safe in threads."""

import io
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from tests.networks import write_text_network
from tests.speech import speech
from tests.tiny import built

import merkit
from merkit.io.checkpoint import save_checkpoint

LABELS = ("calm", "cross", "glad")
SPEECH = speech(1.0)
LOGMEL = {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of untrained models: of text, of text within its conversation, of sound, and of both."""
    folder = tmp_path_factory.mktemp("checkpoints")
    network = write_text_network(folder / "network", ["i", "said", "tuesday", "hello", "go", "away", "well", "then"])
    text = {"name": "bert", "weights": str(network), "max_tokens": 16}
    models: dict[str, tuple[str, dict[str, Any]]] = {
        "text": ("single", {"text": text}),
        "context": ("single", {"text": {**text, "context": 2, "speaker_names": True}}),
        "conversation": ("bc_lstm", {"text": text}),
        "audio": ("single", {"audio": LOGMEL}),
        "both": ("concat", {"text": text, "audio": LOGMEL}),
    }
    for name, (model, encoders) in models.items():
        torch.manual_seed(0)
        save_checkpoint(folder / name, *built(model, encoders, LABELS), {}, "")
    return folder


@pytest.fixture(scope="module")
def both(checkpoints: Path) -> merkit.EmotionRecognizer:
    return merkit.load(checkpoints / "both")


@pytest.fixture
def call_file(tmp_path: Path) -> Path:
    sf.write(tmp_path / "call.wav", np.stack([SPEECH, -SPEECH[::-1]], axis=1), 16_000, subtype="FLOAT")
    return tmp_path / "call.wav"


def probabilities(result: merkit.Analysis) -> list[list[float]]:
    return [list(segment.prediction.probabilities.values()) for segment in result.segments]


def test_a_checkpoint_is_loaded_by_string_or_path(checkpoints: Path) -> None:
    by_string, by_path = merkit.load(str(checkpoints / "text")), merkit.load(checkpoints / "text", "cpu")

    assert by_string.labels == by_path.labels == LABELS
    assert by_string.reads == ("text",)
    assert by_path.device == "cpu"
    assert repr(by_path).endswith("text': text -> calm, cross, glad)")
    found, expected = (one.texts(["hello"])[0].probabilities for one in (by_string, by_path))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("checkpoint", "device", "message"),
    [
        ("nowhere", "auto", "No checkpoint in 'nowhere': config.json is missing"),
        ("builtin:voices", "auto", "No built-in model named 'builtin:voices'"),
        ("org/name@main", "auto", "40 hexadecimal digits of a commit behind the @.*found 'main'"),
        (3, "auto", "checkpoint is 3, expected a text or a path"),
        ("text", "gpu", "device 'gpu' cannot be used on this machine"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Any, device: str, message: str
) -> None:
    monkeypatch.chdir(checkpoints)

    with pytest.raises(merkit.MerkitError, match=message) as refused:
        merkit.load(checkpoint, device)

    assert "\n" not in str(refused.value)


def test_a_model_of_the_hub_is_loaded_at_its_commit(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(*arguments: Any, **named: Any) -> str:
        asked.append((*arguments, named["revision"]))
        return str(checkpoints / "text")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    recognizer = merkit.load(f"org/name@{'a' * 40}")

    assert asked == [("org/name", "a" * 40)]
    assert recognizer.labels == LABELS


def test_a_recording_is_the_same_as_path_bytes_file_object_and_samples(
    both: merkit.EmotionRecognizer, call_file: Path
) -> None:
    samples, rate_hz = sf.read(call_file, dtype="float32", always_2d=True)
    expected = probabilities(both(call_file, text="I said Tuesday"))
    with call_file.open("rb") as file:
        others = [
            both(str(call_file), text="I said Tuesday"),
            both(call_file.read_bytes(), text="I said Tuesday"),
            both(file, text="I said Tuesday"),
            both(io.BytesIO(call_file.read_bytes()), text="I said Tuesday"),
            both(samples.T, rate_hz=rate_hz, text="I said Tuesday"),
            both(torch.from_numpy(samples.T.copy()), rate_hz=rate_hz, text="I said Tuesday"),
            both(merkit.Waveform(samples.T, rate_hz), text="I said Tuesday"),
        ]

    for other in others:
        np.testing.assert_allclose(probabilities(other), expected, atol=1e-6)
        assert other.segments[0].prediction.modalities == ("text", "audio")
        assert other.segments[0].end_s == pytest.approx(1.0)
    assert [other.recording.name for other in others] == ["call.wav", "recording", "call.wav", "recording"] + [
        "waveform"
    ] * 3


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ([None], {}, "A recording of type NoneType was given, expected a path"),
        ([7], {"rate_hz": 16_000}, "A recording of type int was given"),
        (["missing.wav"], {}, "No recording 'missing.wav'. Is its path right"),
        ([Path("missing/call.wav")], {}, "No recording 'missing/call.wav'"),
        ([np.zeros((16_000, 2))], {"rate_hz": 16_000}, r"shape \[16000, 2\] was given, .* transpose it"),
        ([np.zeros((1, 1, 9))], {"rate_hz": 16_000}, r"shape \[1, 1, 9\] was given"),
        ([np.full(100, np.nan)], {"rate_hz": 16_000}, "NaN or infinite samples, the first one at sample 0"),
        ([np.zeros(0)], {"rate_hz": 16_000}, "holds no samples"),
        ([SPEECH], {}, "A waveform needs its rate: give rate_hz, such as rate_hz=16000"),
        ([SPEECH], {"rate_hz": 16}, "rate_hz is 16"),
        (["call.wav"], {"rate_hz": 16_000}, "rate_hz=16000 was given, but the recording has its own rate"),
        ([b"This is no sound."], {}, "'recording' is not a recording"),
        ([io.StringIO("text")], {}, "open as text: open it with mode 'rb'"),
        ([SPEECH], {"rate_hz": 16_000, "text": 3}, "text is 3, expected a text or None"),
        ([SPEECH], {"rate_hz": 16_000, "text": "a", "transcript": "a.srt"}, "transcript and text were given"),
        ([SPEECH], {"rate_hz": 16_000, "transcript": "a.srt"}, "No transcript 'a.srt'"),
        ([SPEECH], {"rate_hz": 16_000, "channels": "split"}, "needs two channels, 'waveform of 1.000 s' has one"),
        ([SPEECH], {"rate_hz": 16_000, "channels": "both"}, "channels is 'both', expected one of auto, split"),
        ([np.stack([SPEECH, SPEECH])], {"rate_hz": 16_000, "channels": "split"}, "channels 1 and 2 .* are the same"),
        ([np.stack([SPEECH] * 3)], {"rate_hz": 16_000, "channels": "left"}, "needs two channels, .* has 3"),
        (
            [np.stack([SPEECH, -SPEECH])],
            {"rate_hz": 16_000, "channels": "split", "text": "a"},
            "channels='split' needs a transcript with times",
        ),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(
    both: merkit.EmotionRecognizer, arguments: list[Any], named: dict[str, Any], message: str
) -> None:
    with pytest.raises(merkit.MerkitError, match=message) as refused:
        both(*arguments, **named)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.txt", "\u200b\n"),
        ("t.json", '[{"start": 0, "end": 1, "text": "  "}]'),
        ("t.csv", "start,end,speaker\n0,1,A\n"),
    ],
)
def test_a_transcript_without_words_gives_the_result_of_sound_alone(
    both: merkit.EmotionRecognizer, call_file: Path, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)

    alone = both(call_file, channels="mix")
    blank = both(call_file, channels="mix", transcript=tmp_path / name)
    empty = both(call_file, channels="mix", text=" ")

    for result in (blank, empty):
        np.testing.assert_allclose(probabilities(result), probabilities(alone), atol=1e-6)
        assert [segment.text for segment in result.segments] == [None]
        assert "The model also reads text, which is missing: it predicts from the rest." in result.notes
    assert blank.notes[0].startswith("Transcript: there are no words:")


def test_what_a_transcript_could_not_keep_is_a_note_of_the_result(
    both: merkit.EmotionRecognizer, call_file: Path, tmp_path: Path
) -> None:
    rows = [(0.0, 0.5, "Ann", "hello"), (0.2, 0.2, "Ben", "well"), (0.5, 1.4, "Ben", "go [/laughs]")]
    names = ("start", "end", "speaker", "text")
    (tmp_path / "t.json").write_text(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))

    result = both(call_file, transcript=tmp_path / "t.json")

    assert [(s.start_s, s.end_s, s.speaker, s.text) for s in result.segments] == [
        (0.0, 0.5, "Ann", "hello"),
        (0.5, 1.0, "Ben", "go [/laughs]"),
    ]
    assert result.notes[:2] == [
        "Transcript: 1 line of no length left out (segment 2).",
        "Transcript: 1 line cut at the end of the recording (segment 3: by 0.40 s).",
    ]


def test_channels_that_differ_are_two_speakers(checkpoints: Path, call_file: Path, tmp_path: Path) -> None:
    recognizer = merkit.load(checkpoints / "audio")
    (tmp_path / "call.csv").write_text("start_s,end_s,text,speaker\n0.0,0.5,a,Ann\n0.5,1.0,b,Ben\n")

    split = recognizer(call_file, channels="split")
    left, right = (recognizer(call_file, channels=channel) for channel in ("left", "right"))
    lines = recognizer(call_file, channels="split", transcript=tmp_path / "call.csv")

    assert [segment.speaker for segment in split.segments] == ["left", "right"]
    expected = [probabilities(left)[0], probabilities(right)[0]]
    np.testing.assert_allclose(probabilities(split), expected, atol=1e-6)
    assert np.abs(np.subtract(*expected)).max() > 1e-5
    assert [segment.speaker for segment in lines.segments] == ["Ann", "Ben"]


def test_each_speaker_is_read_from_the_louder_channel() -> None:
    from merkit.core.waveform import Channel
    from merkit.recordings.channels import assign_channels
    from merkit.recordings.transcripts import Line

    tone, quiet = np.full(8000, 0.5), np.full(8000, 0.01)
    sound = merkit.Waveform([[*tone, *quiet, *tone], [*quiet, *tone, *quiet]], 8000)  # left, right, left
    lines = [
        Line(0.0, 1.0, "Ann", "a"),
        Line(1.0, 2.0, "", "b"),
        Line(1.0, 3.0, "Ann", "c"),
        Line(1.0, None, "Ben", "d"),
    ]
    lines.append(Line(1.0, 2.0, "Ben", "e"))

    assigned = assign_channels(sound, lines, "split")

    assert [(line.speaker, "left" if each == Channel(sound, 0) else "right") for line, each in assigned] == [
        ("Ann", "left"),
        ("right", "right"),
        ("Ann", "left"),
        ("Ben", "right"),
        ("Ben", "right"),
    ]


def test_texts_are_turns_of_one_conversation_where_the_model_reads_conversations(checkpoints: Path) -> None:
    texts, speakers = ["hello", "go away"], ["A", "B"]
    for name, depends in (("text", False), ("context", True), ("conversation", True)):
        recognizer = merkit.load(checkpoints / name)

        together, alone = recognizer.texts(texts, speakers), recognizer.texts(texts[1:], speakers[1:])

        assert len(together) == 2
        difference = np.abs(
            np.subtract(list(together[1].probabilities.values()), list(alone[0].probabilities.values()))
        ).max()
        assert bool(difference > 1e-6) is depends, name


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("text", ["hello"], r"texts is 'hello', expected a list: texts=\['hello'\]"),
        ("text", [["hello"], ["A", "B"]], "1 texts and 2 speakers were given"),
        ("text", [["hello", None]], r"texts\[1\] is None, expected a text"),
        ("text", [["a", "b"], "AB"], "speakers is 'AB', expected a list or None"),
        ("text", [["a"], [None]], r"speakers\[0\] is None, expected a text"),
        ("text", [["ok \ud800"]], "has half a character at position 3"),
        ("audio", [["hello"]], "reads audio, no text"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(checkpoints: Path, model: str, arguments: list[Any], message: str) -> None:
    with pytest.raises(merkit.MerkitError, match=message):
        merkit.load(checkpoints / model).texts(*arguments)


def test_texts_and_speakers_may_be_read_once(checkpoints: Path) -> None:
    recognizer = merkit.load(checkpoints / "context")

    once = recognizer.texts(iter(["hello", "go away"]), (name for name in "AB"))

    assert once.to_dict() == recognizer.texts(["hello", "go away"], ["A", "B"]).to_dict()


def test_a_recogniser_is_named_by_a_path_too(both: merkit.EmotionRecognizer, call_file: Path) -> None:
    for call in (lambda: both(call_file, asr=Path("nowhere")), lambda: merkit.transcribe(call_file, Path("nowhere"))):
        with pytest.raises(merkit.MerkitError, match="No folder 'nowhere'"):
            call()


def test_a_batch_has_an_item(both: merkit.EmotionRecognizer) -> None:
    with pytest.raises(merkit.MerkitError, match="batch_size is 0, expected 1 or more"):
        both.predict([{"text": "hello"}], batch_size=0)


def test_rows_of_a_table_are_predicted_in_their_order(both: merkit.EmotionRecognizer, call_file: Path) -> None:
    rows = [
        {"text": "hello", "conversation": "x", "speaker": "A", "audio": call_file},
        {"text": "well then", "conversation": "y", "speaker": "B", "mood": "low"},
        {"text": "go away", "conversation": "x", "speaker": "B", "audio": merkit.Waveform(SPEECH, 16_000)},
    ]

    from_rows = both.predict(rows)
    from_frame = both.predict(pd.DataFrame(rows))

    assert [prediction.id for prediction in from_rows] == ["0", "1", "2"]
    assert [prediction.modalities for prediction in from_rows] == [("text", "audio"), ("text",), ("text", "audio")]
    assert from_frame.to_pandas().equals(from_rows.to_pandas())
    assert from_rows.to_pandas()["text"].tolist() == ["hello", "well then", "go away"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"words": "hello"}], "rows: no column 'text', 'audio' or 'video', .* rename 'words' to 'text'"),
        ([{"text": 3}], "'0': text is 3, expected text"),
        ([{"audio": np.zeros(3)}], "audio is of type ndarray, expected text"),
        ([], "has no utterance"),
        (3, "rows is of type int, expected a data frame"),
        ("missing", "missing: no such folder"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "id 'a' occurs 2 times"),
        ([{"video": "a.mp4"}], "reads audio and text, which no row has"),
    ],
)
def test_what_is_no_table_is_refused(both: merkit.EmotionRecognizer, rows: Any, message: str) -> None:
    with pytest.raises(merkit.MerkitError, match=message):
        both.predict(rows)


def test_a_folder_of_a_manifest_is_predicted(both: merkit.EmotionRecognizer, tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text("id,text\na,hello\nb,go away\n")

    predictions = both.predict(tmp_path)
    stored = both.predict(str(tmp_path), features=tmp_path / "features")

    assert [prediction.id for prediction in predictions] == ["a", "b"]
    for found, expected in zip(predictions, stored, strict=True):
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert list(tmp_path.glob("features/*/shard-*"))


def test_results_become_frames_json_and_html_and_text_is_never_markup(
    both: merkit.EmotionRecognizer, call_file: Path, tmp_path: Path
) -> None:
    result = both(call_file, text="<b>hello</b> & go")
    predictions = both.texts(["hello"], ["<i>A</i>"])

    frame = result.to_pandas()
    assert frame.columns.tolist() == [
        *("start_s", "end_s", "speaker", "text", "label", "confidence", "modalities"),
        *(f"p:{label}" for label in LABELS),
        "reason",
    ]
    assert frame[[f"p:{label}" for label in LABELS]].sum(axis=1).item() == pytest.approx(1)
    written = json.loads(result.to_json(str(tmp_path / "out" / "call.json")).read_text())
    assert written["segments"][0]["text"] == "<b>hello</b> & go"
    page = result.to_html(tmp_path / "call.html").read_text()
    assert "&lt;b&gt;hello&lt;/b&gt; &amp; go" in page
    assert "<b>hello" not in page
    assert "&lt;b&gt;hello&lt;/b&gt; &amp; go" in result._repr_html_()
    assert "<script" not in result._repr_html_()
    assert predictions._repr_html_() in predictions.to_html(tmp_path / "p.html").read_text()
    assert "&lt;i&gt;A&lt;/i&gt;" in predictions._repr_html_()
    assert json.loads(predictions.to_json(tmp_path / "p.json").read_text())[0]["text"] == "hello"
    assert predictions[:1].to_pandas().equals(predictions.to_pandas())


def test_to_pandas_without_pandas_says_what_to_install(
    both: merkit.EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = both.texts(text for text in ["hello"])
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(merkit.MerkitError, match=r"pip install 'merkit\[pandas\]'"):
        predictions.to_pandas()


_written: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _written is None:
        return
    changes = event in {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "tempfile.mkstemp"}
    if changes or (event == "open" and _writes(*arguments)):
        _written.append(f"{event} {arguments}")


def _writes(_path: Any, mode: Any, flags: Any) -> bool:
    import os

    return any(letter in (mode or "") for letter in "wax+") or bool(
        (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )


sys.addaudithook(_watch)


@contextmanager
def writing_watched() -> Iterator[list[str]]:
    global _written
    _written = found = []
    try:
        yield found
    finally:
        _written = None


def test_a_thousand_calls_write_no_file(
    checkpoints: Path, call_file: Path, both: merkit.EmotionRecognizer, tmp_path: Path
) -> None:
    waveform = merkit.Waveform(SPEECH, 16_000)
    before = sorted(path.name for path in tmp_path.iterdir())
    with writing_watched() as written:
        recognizer = merkit.load(checkpoints / "conversation")
        for number in range(960):
            recognizer.texts([f"hello {number}"])
        for _ in range(10):
            both(call_file, text="hello")
            both(waveform, text="hello", channels="mix")
            both(call_file.read_bytes(), channels="split")
            both.predict([{"text": "hello", "audio": waveform}])

        assert written == []
        (tmp_path / "proof").write_text("the watch sees what is written")
    assert len(written) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "proof"])


def test_eight_threads_of_two_hundred_calls_predict_what_serial_calls_do(checkpoints: Path) -> None:
    recognizer = merkit.load(checkpoints / "context")
    words = ["hello", "go away", "well then", "i said tuesday " * 9]
    calls = [([words[number % 4], words[number // 4 % 4]] * (1 + number % 3), number % 2) for number in range(200)]

    def run(call: tuple[list[str], int]) -> list[list[float]]:
        texts, named = call
        speakers = ["A", "B"] * (len(texts) // 2) if named else None
        return [list(prediction.probabilities.values()) for prediction in recognizer.texts(texts, speakers)]

    with ThreadPoolExecutor(8) as pool:  # before any serial call: what is loaded late is loaded by eight at once
        threaded = list(pool.map(run, calls * 8))
    serial = [run(call) for call in calls]

    for number, result in enumerate(threaded):
        np.testing.assert_allclose(result, serial[number % 200], atol=1e-6)


@pytest.mark.parametrize("model", ["audio", "both"])
def test_threads_share_a_model_that_reads_audio(checkpoints: Path, model: str) -> None:
    recognizer = merkit.load(checkpoints / model)
    waveforms = [merkit.Waveform(SPEECH[: 4000 + 1000 * number], 16_000) for number in range(8)]

    def run(waveform: merkit.Waveform) -> list[list[float]]:
        return probabilities(recognizer(waveform, text="hello"))

    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(run, waveforms * 8))
    serial = [run(waveform) for waveform in waveforms]

    for number, result in enumerate(threaded):
        np.testing.assert_allclose(result, serial[number % 8], atol=1e-6)


def test_a_call_changes_neither_the_global_generator_nor_the_modes_of_the_model(
    both: merkit.EmotionRecognizer, call_file: Path
) -> None:
    state = torch.random.get_rng_state()
    training = [module.training for module in both._recognizer.model.modules()]

    both(call_file, text="hello")
    both.texts(["hello"])

    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in both._recognizer.model.modules()] == training
    assert not any(training)
