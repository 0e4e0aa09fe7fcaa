"""The card of the built-in voice model, and the notice of its licence."""

from collections.abc import Iterable, Mapping
from typing import Any

from merkit.io.checkpoint import CheckpointConfig
from weights.tables import number, table

NAMES = {"ravdess": "RAVDESS", "nemo": "nEMO", "emodb": "EMO-DB", "emovo": "EMOVO"}
LANGUAGES = {"ravdess": "English", "nemo": "Polish", "emodb": "German", "emovo": "Italian"}

LICENCE = """builtin:voice, the weights in this folder (model.safetensors)

Licensed under the Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International Licence (CC BY-NC-SA 4.0),
https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode: you may share and adapt them for purposes that are not
commercial, if you name the sources below and pass adaptations on under the same licence.

They were trained on two corpora under that licence, and so are adaptations of them:

RAVDESS (speech)
    Livingstone, S. R., and Russo, F. A. (2018): The Ryerson Audio-Visual Database of Emotional Speech and Song
    (RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE 13(5),
    e0196391. https://doi.org/10.1371/journal.pone.0196391. Data: https://doi.org/10.5281/zenodo.1188976

nEMO
    Christop, I. (2024): nEMO: Dataset of Emotional Speech in Polish. LREC-COLING 2024, pages 12111-12116.
    https://aclanthology.org/2024.lrec-main.1059. Data: https://huggingface.co/datasets/amu-cai/nEMO

Changes: features of the recordings were computed by Whisper base (OpenAI, MIT licence), and a linear model was fitted on
them and on the corpora's labels. No recording and no transcript is in the file.

merkit's code is licensed apart from these weights, under the Apache License 2.0.
"""

_ROWS = {
    "all of the speaker's clips": "all of the speaker's clips",
    "20 clips, 80 % neutral": "20 clips, 80 % of them neutral, as in calls",
    "5 clips of the speaker": "5 clips",
    "all, telephone": "all, over the telephone (8 kHz, mu-law)",
    "all, noise": "all, with white noise at 10 dB",
    "all, one second": "all, each cut to its loudest second",
    "all, soft": "all, at a tenth of their loudness",
    "all, loud": "all, three times as loud, clipped",
    "none": "the clip alone: **no label is given**",
    "the same label alone": "clips of the same label alone, a mood that lasts: **cannot be seen**",
}


def voice_card(config: CheckpointConfig, provenance: Mapping[str, Any]) -> str:
    """Return the checkpoint's ``README.md``."""
    figures = provenance["figures"]
    trained = {name: provenance["data"][name] for name in provenance["settings"]["corpora"]["training"]}
    return "\n".join(
        [
            "# builtin:voice",
            "",
            "How a voice sounds compared with the speaker's own average: arousal, and neutral, happy, sad or angry (fear, "
            "disgust and surprise on request). Whisper base, frozen, of which the first three layers run, and a linear "
            "head on the mean and the standard deviation over the utterance's frames, averaged over these layers' states, "
            "minus the mean of the speaker's utterances.",
            "",
            "```",
            "merkit analyze call.wav --checkpoint builtin:voice",
            "```",
            "",
            "## What it says",
            "",
            *(
                f"* {sentence}"
                for sentence in (config.decision_rule.describe(config.labels) if config.decision_rule else ())
            ),
            "* Arousal is predicted for every utterance, and was learned from happy and angry against neutral and sad.",
            "",
            "## What it cannot do",
            "",
            *_limits(figures),
            "",
            "## How well",
            "",
            *_recall(figures),
            "",
            *_arousal(figures),
            "",
            *_confidence(figures),
            "",
            *_calls(figures, provenance["settings"]),
            "",
            "## How it was made",
            "",
            *(
                f"* {NAMES[name]}: {facts['clips']:,} clips of {facts['speakers']} speakers, {LANGUAGES[name]}, acted; "
                f"{facts['licence']}"
                for name, facts in trained.items()
            ),
            *_training(provenance),
            "",
            "## Licence",
            "",
            "The weights: CC BY-NC-SA 4.0, which is the licence of both corpora (see `LICENSE`, with their citations): "
            "**not for commercial use**. merkit's code: Apache-2.0. Whisper base: MIT. The law may forbid its use, in "
            "particular at work and in schools of the European Union.",
            "",
        ]
    )


def _limits(figures: Mapping[str, Any]) -> list[str]:
    lasting = [figure["recall"]["the same label alone"]["shown"]["mean_recall"] for figure in figures.values()]
    return [
        "* **Say what a clip alone is.** A single clip takes on the sound of its channel. Below 5 utterances or 10 s of a "
        "speaker there is no label, only arousal.",
        "* **See a mood that lasts the whole recording**, which is then the speaker's average: where all clips of the "
        f"reference have the same label, mean recall over four labels is {_listed(lasting)} (chance .25).",
        "* Hear what actors do not do. It was trained and measured on acted speech, which is clearer than everyday "
        "speech; expect less from calls, meetings and interviews.",
        "* Languages: trained on English and Polish, measured on German and Italian. Others are untested.",
        "* Children, speakers who are ill, singing, and several speakers at once are untested. Without speaker "
        "diarization all speakers share one average, which makes the labels meaningless.",
        "* Corpora in which each speaker has one label alone: the average takes away what is to be recognised.",
        "* Say what a person feels. It predicts the label that an actor was asked for.",
    ]


def _recall(figures: Mapping[str, Any]) -> list[str]:
    head = ["compared with"]
    for name, figure in figures.items():
        head += [f"{NAMES[name]}, {len(figure['labels'])} labels", "4 labels"]
    rows = [
        [shown, *(_interval(figure["recall"][key][which]) for figure in figures.values() for which in ("all", "shown"))]
        for key, shown in _ROWS.items()
    ]
    about = "; ".join(
        f"{NAMES[name]}, {LANGUAGES[name]}, {figure['speakers']} speakers, {figure['labelled']} clips with one of its labels"
        for name, figure in figures.items()
    )
    return [
        f"Measured on corpora that it was not trained or chosen on ({about}). Mean recall over the labels that a corpus "
        "has, and over neutral, happy, sad and angry, without a prior [95 % interval, bootstrap over the speakers, of whom "
        "there are few]; every clip has a label, sure or not:",
        "",
        *table(head, rows),
    ]


def _arousal(figures: Mapping[str, Any]) -> list[str]:
    keys = (
        "all of the speaker's clips",
        "20 clips, 80 % neutral",
        "5 clips of the speaker",
        "all, telephone",
        "all, noise",
        "all, one second",
        "none",
    )
    rows = [
        [_ROWS[key].partition(":")[0], *(_interval(figure["arousal"][key]["shown"]) for figure in figures.values())]
        for key in keys
    ]
    errors = _listed(figure["arousal_calibration"]["calibration_error"] for figure in figures.values())
    return [
        f"Arousal, mean recall of high (happy, angry) and low (neutral, sad); calibration error {errors}:",
        "",
        *table(["compared with", *(NAMES[name] for name in figures)], rows),
    ]


def _confidence(figures: Mapping[str, Any]) -> list[str]:
    rows = []
    for which, title in (("all", "all labels"), ("shown", "4 labels")):
        for name, figure in figures.items():
            covered = figure["coverage"][which]
            rows.append(
                [
                    f"{NAMES[name]}, {title}",
                    number(figure["calibration"][which]["calibration_error"]),
                    number(figure["calibration"][which]["brier"]),
                    number(figure["calibration"][which]["mean_confidence"]),
                    *(f"{number(one['mean_recall'])} / {number(one['accuracy'])}" for one in covered.values()),
                ]
            )
    shares = next(iter(figures.values()))["coverage"]["all"]
    return [
        "Confidence, compared with all of the speaker's clips and without a prior: calibration error (15 bins), Brier "
        "score, mean confidence, and mean recall / accuracy of the most confident share of the clips. A mean confidence below "
        "the accuracy means that it is more careful than it needs to be:",
        "",
        *table(["", "calibration error", "Brier score", "mean confidence", *shares], rows),
    ]


def _calls(figures: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    rows = [
        [f"{NAMES[name]}, {prior}", *(number(value) for value in figure["call"][prior].values())]
        for name, figure in figures.items()
        for prior in figure["call"]
    ]
    neutral = settings["decision_rule"]["prior"]["neutral"]
    return [
        "Simulated calls, 80 % neutral: clips are weighted to that share, and the 20 clips of a reference are drawn with it; "
        f"the default prior is {neutral:g} for neutral. An alarm is a probability of angry of .5 or more:",
        "",
        *table(
            ["", "accuracy", "share with a label", "accuracy of those", "alarms: recall", "alarms: precision"], rows
        ),
    ]


def _training(provenance: Mapping[str, Any]) -> list[str]:
    settings, temperatures = provenance["settings"], provenance["temperatures"]
    references = settings["references"]
    return [
        f"* Each clip {references['copies']} times, minus the mean of {references['fewest']} to {references['most']} random "
        "clips of its speaker with a random mix of labels; the mean of the training corpora counts as one more clip. "
        f"{references['damaged_copies']} more each over the telephone (8 kHz, mu-law), with white noise at 10 dB, and cut to "
        "the loudest second.",
        f"* Softmax over the labels that the clip's corpus has, L2 penalty {settings['fit']['penalty']:g} on standardised "
        "columns, every corpus and each of its labels with the same weight.",
        f"* Temperatures {temperatures['labels']:.2f} (labels) and {temperatures['arousal']:.2f} (arousal), fitted on each "
        "of the two corpora with a head trained on the other one.",
        f"* By `make weights`, seed {settings['seed']}; settings, hashes of the data and all figures are in `provenance.json`. "
        f"merkit {provenance['merkit']}.",
    ]


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{number(figure['mean_recall'])} [{number(low)}, {number(high)}]"


def _listed(values: Iterable[float]) -> str:
    return " and ".join(map(number, values))
