import json
import random
import signal

import pytest
from tests.fuzz.mutations import mutated
from tests.fuzz.sandbox import HANG_S, KEPT, Outcome

SAMPLES = (
    b"x",
    b"RIFF\x00\xff" * 40,
    "start,end\n0.1,0.7\né,1\n".encode(),
    json.dumps({"a": [{"b": 1.5}, "x"]}).encode(),
)


@pytest.mark.parametrize("content", SAMPLES)
def test_mutations_are_those_of_the_seed_and_differ_from_the_content(content: bytes) -> None:
    first, second = (
        [mutated(content, SAMPLES, generator) for _ in range(300)] for generator in map(random.Random, "aa")
    )

    assert first == second
    assert len({*first} - {content}) > 50


def outcome(code: int, output: str = "merkit: no", seconds: float = 1.0, memory_mb: float = 400.0) -> Outcome:
    return Outcome(code, seconds, memory_mb, output)


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [
        (outcome(0), "done"),
        (outcome(1), "partial"),
        (outcome(2), "refused"),
        (outcome(2, "no\n"), "no message"),
        (outcome(1, "Traceback (most recent call last):\n"), "traceback"),
        (outcome(70), "exit code"),
        (outcome(0, memory_mb=2001.0), "memory"),
        (outcome(-signal.SIGSEGV), "crash"),
        (outcome(-signal.SIGKILL, seconds=HANG_S), "hang"),
    ],
)
def test_an_outcome_is_judged_by_the_promises_of_the_command_line(ended: Outcome, verdict: str) -> None:
    assert ended.verdict == verdict
    assert (verdict in KEPT) == (verdict in ("done", "partial", "refused"))
