"""Arguments of public functions: what fits is converted, and all else is an error of one line."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, get_type_hints

import numpy as np
import pytest

import merkit
from merkit.core.errors import ConfigError
from merkit.recordings.options import RecordingOptions

PUBLIC: list[Callable[..., Any]] = [
    merkit.load,
    merkit.transcribe,
    merkit.prepare,
    merkit.doctor,
    merkit.report,
    merkit.train,
    merkit.Run.__init__,
    merkit.Run.predictions,
    merkit.Run.checkpoint,
    merkit.Run.history,
    merkit.EmotionRecognizer.__call__,
    merkit.EmotionRecognizer.live,
    merkit.EmotionRecognizer.texts,
    merkit.EmotionRecognizer.predict,
    merkit.Analysis.to_json,
    merkit.Analysis.to_html,
]
ARGUMENTS = [
    (function, name)
    for function in PUBLIC
    for name, kind in get_type_hints(function).items()
    if kind is not Any and name != "return"
]


@pytest.mark.parametrize(("function", "name"), ARGUMENTS, ids=[f"{f.__qualname__}-{name}" for f, name in ARGUMENTS])
def test_every_public_argument_of_another_type_is_refused_by_its_name(function: Callable[..., Any], name: str) -> None:
    assert len(ARGUMENTS) > 40
    kinds = get_type_hints(function)
    needed = [each.name for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    given = {each: "a" if kinds.get(each) in (str, str | Path) else ["a"] for each in needed if each != "options"}

    with pytest.raises(ConfigError, match=f"^{name} is of type object, expected a?") as refused:
        function(**{**given, name: object()})

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speakers": "2"}, "speakers is '2', expected a whole number or None"),
        ({"speakers": 2.5}, "speakers is 2.5, expected a whole number or None"),
        ({"speakers": True}, "speakers is True, expected a whole number or None"),
        ({"window_s": "8"}, "window_s is '8', expected a number or None"),
        ({"window_s": float("nan")}, "a window of nan s, expected 1 to 600"),
        ({"track": "1"}, "track is '1', expected a whole number or None"),
        ({"track": float("inf")}, "track is inf, expected a whole number or None"),
        ({"language": 5}, "language is 5, expected a text or None"),
        ({"channels": None}, "channels is None, expected a text"),
        ({"redact": "no"}, "redact is 'no', expected True or False"),
        ({"speakers_file": 5}, "speakers_file is 5, expected a path or None"),
        ({"marks": {"Ann": 12}}, "marks['Ann'] is 12, expected (a number, a number)"),
        ({"marks": {"Ann": (1, "2")}}, "marks['Ann'] is '2', expected a number"),
        ({"marks": {"Ann": (1, 2, 3)}}, "marks['Ann'] is of type tuple, expected (a number, a number)"),
        ({"marks": {3: (1, 2)}}, "a name in marks is 3, expected a text"),
        ({"marks": [("Ann", 1)]}, "marks is of type list, expected a dictionary"),
        ({"exclude_speakers": None}, "exclude_speakers is None, expected a list"),
        ({"exclude_speakers": "Ann"}, "exclude_speakers is 'Ann', expected a list: exclude_speakers=['Ann']"),
        ({"modalities": [None]}, "modalities[0] is None, expected a text"),
        ({"modalities": np.array("audio")}, "modalities is of type ndarray, expected a list or None"),
    ],
)
def test_an_option_of_another_type_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RecordingOptions(**values)

    assert str(refused.value) == message


def test_numbers_of_numpy_lists_and_paths_are_taken_as_pythons_own() -> None:
    found = RecordingOptions(
        speakers=np.int64(2),  # type: ignore[arg-type]
        window_s=np.float32(8),  # type: ignore[arg-type]
        track=2.0,  # type: ignore[arg-type]
        redact=np.bool_(True),  # type: ignore[arg-type]
        marks={"Ann": np.array([1, 2]), "Ben": [3, 4.5]},  # type: ignore[dict-item]
        exclude_speakers=(name for name in ["Ann"]),  # type: ignore[arg-type]
        modalities=np.array(["audio"]),  # type: ignore[arg-type]
    )
    expected = RecordingOptions(
        speakers=2,
        window_s=8.0,
        track=2,
        redact=True,
        marks={"Ann": (1.0, 2.0), "Ben": (3.0, 4.5)},
        exclude_speakers=("Ann",),
        modalities=("audio",),
    )

    assert repr(found) == repr(expected)
    assert replace(expected, speakers_file=None) == found
    file = RecordingOptions(speakers_file=PurePosixPath("who.rttm")).speakers_file  # type: ignore[arg-type]
    assert file == Path("who.rttm")


def test_arguments_that_are_missing_or_unknown_are_what_python_says_of_them() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'recording'"):
        merkit.transcribe()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'lang'"):
        merkit.transcribe("a.wav", lang="en")  # type: ignore[call-arg]
