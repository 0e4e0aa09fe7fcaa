"""The cards of the built-in words models, and the notices of their data."""

from collections.abc import Mapping, Sequence
from typing import Any

from merkit.io.checkpoint import CheckpointConfig
from weights.tables import number, table

NAMES = {"meld": "MELD", "goemotions": "GoEmotions"}

_SOURCES = {
    "meld": """MELD
    Poria, S., Hazarika, D., Majumder, N., Naik, G., Cambria, E., and Mihalcea, R. (2019): MELD: A Multimodal Multi-Party
    Dataset for Emotion Recognition in Conversations. ACL 2019, pages 527-536. https://aclanthology.org/P19-1050.
    Data: https://github.com/declare-lab/MELD. Dialogues of a television series, published for research; rights in the
    script are those of its owners. Whether weights that were trained on them may be used commercially is not settled:
    builtin:words-en-clean was trained without them.
""",
    "goemotions": """GoEmotions
    Demszky, D., Movshovitz-Attias, D., Ko, J., Cowen, A., Nemade, G., and Ravi, S. (2020): GoEmotions: A Dataset of
    Fine-Grained Emotions. ACL 2020, pages 4040-4054. https://aclanthology.org/2020.acl-main.372.
    Data: https://github.com/google-research/google-research/tree/master/goemotions, published by its makers under
    CC BY 4.0 (data) and the Apache License 2.0 (repository).
""",
}
_MELD_ROWS = {
    "written": "as written",
    "one turn alone": "one turn alone, without those before it",
    "plain": "plain: lower case, without punctuation, as most recognisers write",
    "misheard": "plain, with 20 % word errors",
}


def licence_of(name: str, corpora: Sequence[str]) -> str:
    """Return the notice that lies beside the weights."""
    return "\n".join(
        [
            f"builtin:{name}, the weights in this folder (model.safetensors)",
            "",
            "They are no part of merkit's code, which is under the Apache License 2.0. They were trained on:",
            "",
            *(_SOURCES[corpus] for corpus in corpora),
            "Changes: features of the texts were computed by all-MiniLM-L6-v2 (Apache License 2.0), and a network was trained on",
            "them and on the corpora's labels. No text is in the file.",
            "",
        ]
    )


def words_card(name: str, config: CheckpointConfig, provenance: Mapping[str, Any]) -> str:
    """Return the checkpoint's ``README.md``."""
    figures, settings = provenance["figures"], provenance["settings"]
    clean = "meld" not in provenance["trained_on_corpora"]
    rule = config.decision_rule
    return "\n".join(
        [
            f"# builtin:{name}",
            "",
            "What English words say: neutral, happy, sad, angry or surprise (fear and disgust on request), turn by turn. "
            "all-MiniLM-L6-v2, frozen (the mean over the tokens of states 3 and 6), a layer of 128, an LSTM of 96 over the "
            "turns so far, with the turn's own vector beside its state, a layer of 100.",
            "",
            "```",
            f"merkit analyze call.wav --transcript call.srt --checkpoint builtin:{name}",
            "```",
            "",
            "## What it says",
            "",
            *(f"* {sentence}" for sentence in (rule.describe(config.labels) if rule else ())),
            "* The weights hold evidence without a prior; the default prior is that of calls. `--prior even` has none, "
            "`--prior neutral=0.4` another one.",
            "* A turn's prediction depends on the turns before it and on none that follows.",
            "",
            "## What it cannot do",
            "",
            *_limits(figures, clean),
            "",
            "## How well",
            "",
            *_meld(figures["meld"], clean),
            "",
            *_goemotions(figures["goemotions"]),
            "",
            *_by_label(figures, config.labels),
            "",
            f"With a prior that fits: MELD weighted to 75 % neutral, accuracy {number(figures['calls']['own prior'])} with MELD's "
            f"own prior, {number(figures['calls']['right prior'])} with the right one.",
            "",
            "## How it was made",
            "",
            *_training(provenance, settings),
            "",
            "## Licence",
            "",
            "The weights stand apart from merkit's code (Apache-2.0); see `LICENSE`. "
            + (
                "Trained on GoEmotions alone (CC BY 4.0, Apache-2.0). "
                if clean
                else "Trained on MELD, which is published for research and is a television script, and on GoEmotions (CC BY 4.0, "
                "Apache-2.0). `builtin:words-en-clean` does without MELD. "
            )
            + "all-MiniLM-L6-v2: Apache-2.0. The law may forbid its use, in particular at work and in schools of the European "
            "Union.",
            "",
        ]
    )


def _limits(figures: Mapping[str, Any], clean: bool) -> list[str]:
    written, plain = (figures["meld"][kind]["weighted_f1"]["value"] for kind in ("written", "plain"))
    seen = (
        "Comments of Reddit alone: spoken dialogue is foreign to it (MELD, below)."
        if clean
        else "A television series and comments of Reddit. Trained on one and tested on the other, such a model loses a third."
    )
    return [
        "* **Hear.** Restrained anger, irony and coldness are in the voice, and mostly missed.",
        f"* **Do without punctuation what it does with it**: weighted F1 on MELD {number(written)} as written, {number(plain)} in "
        "plain text. Much of what the words of a script say is in the exclamation mark.",
        "* Tell fear and disgust reliably: they are shown on request alone (`--labels all`).",
        "* Other languages than English: words known to be in another language are not labelled.",
        f"* {seen} Calls, meetings and interviews are untested.",
        "* Say what a person feels. It predicts the label that annotators gave.",
    ]


def _meld(figures: Mapping[str, Any], clean: bool) -> list[str]:
    rows = [
        [
            shown,
            _interval(figures[key]["weighted_f1"]),
            _interval(figures[key]["accuracy"]),
            number(figures[key]["calibration_error"]),
            number(figures[key]["accuracy_of_surest_half"]),
        ]
        for key, shown in _MELD_ROWS.items()
    ]
    what = "never trained on it; " if clean else ""
    return [
        f"MELD, test split ({figures['written']['texts']:,} utterances; {what}MELD's own prior; [95 % interval, bootstrap over "
        "dialogues]); calibration error with 15 bins:",
        "",
        *table(["", "weighted F1", "accuracy", "calibration error", "accuracy of the surest half"], rows),
    ]


def _goemotions(figures: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            {"written": "as written", "plain": "plain"}[key],
            _interval(figures[key]["macro_f1"]),
            _interval(figures[key]["accuracy"]),
            number(figures[key]["calibration_error"]),
            number(figures[key]["accuracy_of_surest_half"]),
            number(figures[key]["macro_f1_of_several"]),
        ]
        for key in figures
    ]
    heads = ["", "macro F1", "accuracy", "calibration error", "accuracy of the surest half", "macro F1, several labels"]
    return [
        f"GoEmotions, test split, its emotions grouped after Ekman ({figures['written']['texts']:,} comments of one group, its own "
        "prior; the last column: all comments, a threshold for each group from the dev split):",
        "",
        *table(heads, rows),
    ]


def _by_label(figures: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    rows = [
        [NAMES[corpus], *(number(value) for value in figures[corpus]["written"]["f1"])]
        for corpus in ("meld", "goemotions")
    ]
    return ["F1 by label, as written:", "", *table(["", *labels], rows)]


def _training(provenance: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    training, versions = settings["training"], settings["versions"]
    corpora = provenance["trained_on_corpora"]
    lines = [
        f"* {NAMES[corpus]}: {provenance['data'][corpus]['texts']['train']:,} texts; "
        + {"meld": "for research, a television script", "goemotions": "CC BY 4.0, Apache-2.0"}[corpus]
        for corpus in corpora
    ]
    single = (
        f"{100 * training['cut']:.0f} % of MELD's dialogues in a batch are cut into single turns. "
        if "meld" in corpora
        else ""
    )
    low, high = versions["error_rates"]
    return [
        *lines,
        f"* {100 * versions['written']:.0f} % of the texts of a batch as written, the others as a recogniser writes them: in lower "
        f"case without punctuation, half of them with {100 * low:.0f} to {100 * high:.0f} % word errors besides.",
        f"* {single}The log prior of each corpus is added to the logits in the loss alone. {training['steps']:,} steps; the weights "
        "are a moving average, in float16.",
        f"* Temperature of the evidence {provenance['temperature']:.2f}, fitted on the validation splits, on which all settings were "
        "chosen too.",
        f"* By `make weights`, seed {settings['seed']}; settings, hashes of the data and all figures are in `provenance.json`. "
        f"merkit {provenance['merkit']}.",
    ]


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{number(figure['value'])} [{number(low)}, {number(high)}]"
