"""Invented utterances in the shape that each protocol reads, with labels drawn at random: no media, no real corpus."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from merkit.core.types import Scalar, Utterance

IEMOCAP = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx", "sur")
MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
NEMO = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")
EMODB = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
EMODB_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
EMOVO = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def relabelled(utterance: Utterance, **attributes: Scalar) -> Utterance:
    """Return the utterance with some attributes replaced."""
    return replace(utterance, attributes={**utterance.attributes, **attributes})


def _conversation(name: str, speakers: Sequence[str], size: int, attributes: Mapping[str, Scalar]) -> list[Utterance]:
    return [
        Utterance(f"{name}_{turn}", name, turn, speakers[turn % len(speakers)], text="…", attributes=dict(attributes))
        for turn in range(size)
    ]


def iemocap(generator: random.Random) -> list[Utterance]:
    """Five sessions, two speakers each, scripts and scenarios; the first two turns of a conversation are members."""
    rows: list[Utterance] = []
    for session in "12345":
        for side in "FM":
            for script in ("impro01", "impro05", "script01_1", "script01_2", "script03_1"):
                name = f"Ses0{session}{side}_{script}"
                shared = {"session": session, "script": script.split("_")[0]}
                speakers = (f"Ses0{session}F", f"Ses0{session}M")
                for turn, row in enumerate(_conversation(name, speakers, generator.randint(2, 5), shared)):
                    label = generator.choice(IEMOCAP[:5] if turn < 2 else IEMOCAP)
                    rows.append(relabelled(row, emotion=label))
    return rows


def in_splits(
    parts: Sequence[str], attribute: str, labels: Sequence[str]
) -> Callable[[random.Random], list[Utterance]]:
    """Return a maker of conversations that have a split each."""

    def make(generator: random.Random) -> list[Utterance]:
        rows: list[Utterance] = []
        for part in parts:
            for number in range(generator.randint(3, 9)):
                row = _conversation(f"{part}{number}", ("A", "B", "C"), generator.randint(1, 5), {"split": part})
                rows += [relabelled(one, **{attribute: generator.choice(labels)}) for one in row]
        return rows

    return make


def clips(speakers: Sequence[str], labels: Sequence[str]) -> Callable[[random.Random], list[Utterance]]:
    """Return a maker of single clips, each its own conversation; genders alternate."""

    def make(generator: random.Random) -> list[Utterance]:
        return [
            Utterance(
                f"{speaker}_{number}",
                f"{speaker}_{number}",
                0,
                speaker,
                attributes={"emotion": generator.choice(labels), "gender": ("female", "male")[place % 2]},
            )
            for place, speaker in enumerate(speakers)
            for number in range(generator.randint(1, 6))
        ]

    return make


MAKERS: Mapping[str, Callable[[random.Random], list[Utterance]]] = {
    "crema-d6": clips([str(1001 + number) for number in range(23)], ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")),
    "emodb6": clips(EMODB_SPEAKERS, EMODB),
    "emodb7": clips(EMODB_SPEAKERS, EMODB),
    "emovo7": clips(("f1", "f2", "f3", "m1", "m2", "m3"), EMOVO),
    "iemocap4-scriptfree": iemocap,
    "iemocap4-session": iemocap,
    "iemocap4-speaker": iemocap,
    "iemocap6": iemocap,
    "iemocap6-release": iemocap,
    "meld3": in_splits(("train", "dev", "test"), "sentiment", ("neutral", "positive", "negative")),
    "meld7": in_splits(("train", "dev", "test"), "emotion", MELD),
    "mosi2": in_splits(("train", "test"), "sentiment", ("negative", "positive")),
    "nemo6": clips([f"S{number}" for number in range(9)], NEMO),
    "parley": in_splits(("train", "valid", "test"), "emotion", ("neutral", "happy", "angry", "sad")),
    "ravdess7": clips([f"{number:02d}" for number in range(1, 25)], RAVDESS),
    "ravdess8": clips([f"{number:02d}" for number in range(1, 25)], RAVDESS),
    "table": in_splits(("train", "val", "test"), "label", ("yes", "no", "perhaps")),
}
"""Protocol to maker of a corpus that it can be built on with a part allowed."""
