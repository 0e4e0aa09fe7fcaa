import csv
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from merkit.core.errors import MerkitError
from merkit.evaluation.scores import score, score_run
from merkit.evaluation.stored import open_run
from merkit.reporting.reference import read_references
from merkit.reporting.report import write_report
from merkit.reporting.results import gather
from merkit.reporting.section import Cell, Column, Row, Section, section_html, section_markdown
from merkit.reporting.sections import sections_of

REFERENCES = (
    "system,variant,protocol,modalities,metric,value,selection,features,source,evidence,note\n"
    "bc_lstm,,parley,text,accuracy,87.65,on the test set,features <b>of</b> old,A paper 2020,secondary,a note\n"
    "bc_lstm,without time,parley,text,accuracy,76.54,on a validation set,the same,A paper 2020,paper,\n"
    "sdt,,parley,text,weighted_f1,65.43,not stated,other ones,Another paper,derived,\n"
)
EXTRACTOR = {
    "name": "checkpoint",
    "recipe": {
        "model": "single",
        "encoders": {"text": {"name": "bert", "weights": "builtin:minilm", "frozen": False}},
    },
}
VOID = {"meta", "br", "col"}


class Tree(HTMLParser):
    """Checks nesting and collects text, ids and every attribute that could ask for something outside the page."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.links, self.words, self.names = [], set(), set(), [], set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.names.add(tag)
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])
        self.links.update(value for name, value in attributes if name in ("href", "src", "srcset", "data", "action"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def runs(parley, make_run, tmp_path):
    made = [("z_majority", "majority", 0.0, 0), ("fused", "bc_lstm", 2.5, 5), ("text", "single", 1.5, 5)]
    return [
        make_run(tmp_path / "runs" / name, parley, model, skill, epochs=epochs, by_epoch=model == "bc_lstm")
        for name, model, skill, epochs in made
    ]


@pytest.fixture
def references(tmp_path):
    path = tmp_path / "reference.csv"
    path.write_text(REFERENCES)
    return path


@pytest.fixture
def files(runs, references, tmp_path):
    return write_report(runs, tmp_path / "report", printed=references)


@pytest.fixture
def tree(files):
    return Tree(files.html.read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_asks_for_nothing_outside(files, tree):
    text = files.html.read_text(encoding="utf-8")

    assert tree.open == []
    assert not tree.names & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\(|@import|https?://", text)
    assert tree.links
    assert {link.removeprefix("#") for link in tree.links} <= tree.ids


def test_baselines_come_first_and_the_best_simpler_run_is_what_the_others_must_beat(runs):
    group = gather(runs)[0]

    assert [entry.name for entry in group.entries] == ["z_majority", "fused", "text"]
    assert group.compared_with.name == "text"
    assert [c.system for c in group.comparisons] == ["z_majority", "fused"]


def test_the_best_simpler_run_may_be_a_fusion_or_a_classical_model(runs, make_run, parley, tmp_path):
    concat, linear = (
        make_run(tmp_path / "runs" / model, parley, model, skill, epochs=0)
        for model, skill in (("concat", 1.8), ("linear", 1.0))
    )

    assert gather([*runs, concat])[0].compared_with.name == "concat"  # the others have less skill
    assert gather([*runs[:2], linear])[0].compared_with.name == "linear"
    assert gather([runs[2], linear])[0].compared_with.name == "linear"  # weaker, but the only simpler one
    assert gather([concat, linear, runs[2]])[0].compared_with.name == "text"


def test_the_reference_is_chosen_on_validation_never_on_test(runs, make_run, parley, tmp_path, monkeypatch):
    audio = make_run(tmp_path / "runs" / "audio", parley, "single", 1.2, epochs=0)
    better_on_test = score(open_run(audio))
    for metric in better_on_test["test"]:
        better_on_test["test"][metric]["mean"] = 0.99
    real = score
    monkeypatch.setattr(
        "merkit.reporting.results.score", lambda run: better_on_test if run.path == audio else real(run)
    )

    assert gather([*runs, audio])[0].compared_with.name == "text"


def test_the_caption_names_the_reference_and_why(runs, parley, make_run, tmp_path):
    def caption(group):
        return next(s.caption for s in sections_of(group) if "compared with" in s.title)

    by_default = caption(gather(runs)[0])
    named = caption(gather(runs, reference="fused")[0])
    twins = caption(gather([runs[1], make_run(tmp_path / "runs" / "twin", parley, "sdt", 1.0, epochs=0)])[0])

    assert by_default.startswith(
        "text has the best validation score of the runs with simpler models (majority, then text_lookup, then "
        "bag_of_words and linear and svm, then single and single_conversation, then late_average and concat, then all "
        "others). 95 %"
    )
    assert named.startswith("fused is named by --reference. ")
    assert twins.startswith("fused has the best validation score; no run has a simpler model than the others. ")


def test_the_run_to_compare_with_can_be_named_and_a_misspelt_one_is_an_error(runs):
    assert gather(runs, reference="fused")[0].compared_with.name == "fused"
    with pytest.raises(MerkitError, match=r"No run named 'fuse'\. Did you mean 'fused'"):
        gather(runs, reference="fuse")


def test_with_a_baseline_alone_beside_a_system_the_baseline_is_the_reference(runs):
    assert gather(runs[:2])[0].compared_with.name == "z_majority"
    assert gather(runs[1:2])[0].compared_with.name == "fused"


def test_printed_scores_are_those_of_the_stored_predictions(runs, parley, tree):
    own = score_run(runs[1])["test"]["accuracy"]
    low, high = (f"{100 * value:.1f}" for value in own["interval"])

    assert f"{100 * own['mean']:.2f} ± {100 * own['std']:.2f} [{low}, {high}]" in tree.text


def test_a_score_is_never_shown_without_seeds_interval_and_rule(tree):
    for words in (
        "Seeds",
        "95 % bootstrap confidence interval over 10 conversations",
        "test split of 60 utterances",
        "best on validation",
    ):
        assert words in tree.text


def test_the_papers_row_stands_above_ours_with_its_rule_and_features(files, tree):
    paper = tree.text.index("bc_lstm paper 87.65")
    source = tree.text.index("text: features <b>of</b> old A paper 2020", paper)
    assert source < tree.text.index("fused", source) < tree.text.index("fused leaky")
    assert "quoted from a secondary source" in tree.text
    assert "the test set leaky" in tree.text
    markdown = files.markdown.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if line.startswith("|")]
    head, _, majority, printed, fused, leaky, text = rows[:7]
    assert (head[0], head[-1]) == ("System", "Features")
    assert majority[0] == "z_majority *(baseline)*"
    assert majority[-3:] == ["no epochs", "2", "text: bert (minilm, frozen)"]
    source = "(A paper 2020; quoted from a secondary source; a note)"
    assert printed[:2] == ["bc_lstm *(paper)*", "87.65"]
    assert printed[2:-1] == ["", "", "", "", "the test set *(leaky)*", ""]
    assert printed[-1] == rf"text: features \<b>of\</b> old {source}"
    assert (fused[0], fused[-1]) == ("fused", "text: bert (minilm, frozen)")
    assert leaky[0] == "fused *(leaky)*"
    assert leaky[-1].startswith("never a result")
    assert float(leaky[1]) > 0
    assert text[0] == "text"
    assert {len(row) for row in rows[:7]} == {len(head)}


@pytest.mark.parametrize(
    ("modalities", "features", "expected"),
    [
        ("text+audio", "BERT; openSMILE 300", "text+audio: BERT; openSMILE 300"),
        ("text", "not stated", "text: not stated"),
        ("not stated", "not stated", "not stated"),
    ],
)
def test_printed_features_have_their_modalities(references, modalities, features, expected):
    references.write_text(REFERENCES.replace(",text,accuracy,87.65", f",{modalities},accuracy,87.65"))

    first = read_references(references)[0].model_copy(update={"features": features})

    assert first.made_of == expected


@pytest.mark.parametrize(
    ("encoders", "expected"),
    [
        ({}, "no encoder"),
        ({"audio": {"name": "logmel", "n_mels": 64}}, "audio: logmel"),
        ({"text": {"name": "bert", "weights": "builtin:minilm", "frozen": True}}, "text: bert (minilm, frozen)"),
        (
            {
                "text": {"name": "bert", "weights": "FacebookAI/roberta-base", "frozen": False},
                "audio": {"name": "wav2vec2", "weights": "/a/folder/base/", "frozen": False, "trainable_layers": 4},
            },
            "text: bert (roberta-base, fine-tuned); audio: wav2vec2 (base, last 4 layers fine-tuned)",
        ),
        (
            {"text": {"name": "bert", "weights": "builtin:minilm", "frozen": False, "lora": {"rank": 4}}},
            "text: bert (minilm, LoRA of rank 4)",
        ),
        ({"audio": {"name": "precomputed", "features": "praat"}}, "audio: published features (praat)"),
        (
            {"text": EXTRACTOR | {"cross_fit": 5}, "audio": {"name": "praat"}},
            "text: single on bert (minilm, fine-tuned), cross-fitted (5); audio: praat",
        ),
        ({"text": EXTRACTOR}, "text: single on bert (minilm, fine-tuned), not cross-fitted"),
        ({"text": {"name": "checkpoint", "checkpoint": "/a/b"}}, "text: a trained model, not cross-fitted"),
    ],
)
def test_features_name_the_weights_and_whether_they_are_trained(parley, make_run, tmp_path, encoders, expected):
    run = make_run(tmp_path / "run", parley, encoders=encoders)

    group = gather([run])[0]

    assert group.entries[0].features == expected
    mark = " †" if "published" in expected else ""
    row = section_markdown(sections_of(group)[0]).splitlines()[2]
    assert row.startswith("| run | ")
    assert row.endswith(f" | {expected}{mark} |")


@pytest.mark.parametrize(("cross_fit", "expected"), [(0, "not cross-fitted"), (5, "cross-fitted (5)")])
def test_every_file_describes_how_the_extracted_vectors_were_made(
    parley, make_run, references, tmp_path, cross_fit, expected
):
    encoders = {"text": EXTRACTOR | {"cross_fit": cross_fit}}
    run = make_run(tmp_path / "run", parley, "bc_lstm", encoders=encoders)

    files = write_report([run], tmp_path / "report", printed=references)

    words = f"text: single on bert (minilm, fine-tuned), {expected}"
    assert words in Tree(files.html.read_text(encoding="utf-8")).text
    assert f" | {words} |" in files.markdown.read_text(encoding="utf-8")
    with files.csv.open(newline="") as file:
        assert {row["features"] for row in csv.DictReader(file)} == {words}
    assert score(open_run(run))["features"] == expected


def test_the_papers_row_stands_once_above_several_runs_of_its_system(runs, make_run, parley, references, tmp_path):
    other = make_run(tmp_path / "runs" / "other", parley, "bc_lstm", 2.5, epochs=5)

    files = write_report([*runs, other], tmp_path / "report", printed=references)

    assert Tree(files.html.read_text(encoding="utf-8")).text.count("bc_lstm paper") == 1
    assert files.markdown.read_text(encoding="utf-8").count("bc_lstm *(paper)*") == 1


def test_other_printed_scores_have_their_own_table(tree):
    table = tree.text[tree.text.index("Other scores printed for this protocol") :]

    assert "without time" in table
    assert "65.43" in table
    assert "derived from other values" in table


def test_the_leaky_score_is_only_shown_beside_the_clean_one_and_under_its_name(files, tree):
    assert tree.text.count("never a result") == 1
    assert "| fused *(leaky)* |" in files.markdown.read_text(encoding="utf-8")


def test_the_verdict_is_printed_in_words(runs, make_run, parley, references, tmp_path):
    twin = make_run(tmp_path / "runs" / "twin", parley, "concat", 1.5, epochs=5)

    files = write_report([*runs, twin], tmp_path / "again", printed=references)

    assert "≈ Not distinguishable" in Tree(files.html.read_text(encoding="utf-8")).text
    assert "| ≈ Not distinguishable |" in files.markdown.read_text(encoding="utf-8")


def test_a_part_of_a_corpus_has_a_warning(nemo, make_run, references, tmp_path):
    run = make_run(tmp_path / "run", nemo, "single")

    files = write_report([run], tmp_path / "report", printed=references)

    text = Tree(files.html.read_text(encoding="utf-8")).text
    assert "Not the published corpus. Its counts differ: all anger" in text
    assert "With the predictions of all folds pooled instead" in text
    assert "fold S0, seed 0" in files.html.read_text(encoding="utf-8")
    assert "The corpus is only a part of the published one." in files.markdown.read_text(encoding="utf-8")


def test_several_protocols_have_a_section_each(runs, nemo, make_run, references, tmp_path):
    other = make_run(tmp_path / "runs" / "speakers", nemo, "single")

    files = write_report([*runs, other], tmp_path / "report", printed=references)

    tree = Tree(files.html.read_text(encoding="utf-8"))
    assert {"parley", "nemo6", "parley-fused", "nemo6-speakers"} <= tree.ids
    assert tree.text.startswith("Results on parley, nemo6")


def test_what_users_name_is_escaped(parley, make_run, references, tmp_path):
    run = make_run(tmp_path / "<i>run & co", parley)

    files = write_report([run], tmp_path / "report", printed=references, title="<script>alert(1)</script>")

    tree = Tree(files.html.read_text(encoding="utf-8"))
    assert not tree.names & {"i", "script"}
    assert "<i>run & co" in tree.text


def test_runs_of_one_folder_name_get_different_names(parley, make_run, tmp_path):
    paths = [make_run(tmp_path / name / "run", parley, skill=skill) for name, skill in (("a", 1.0), ("b", 2.0))]

    group = gather(paths)[0]

    assert [entry.name for entry in group.entries] == ["a/run", "b/run"]
    assert group.comparisons[0].system in ("a/run", "b/run")


def test_runs_whose_parent_folders_have_one_name_get_different_names_too(parley, make_run, tmp_path):
    places = [tmp_path / "a" / "runs" / "base", tmp_path / "b" / "runs" / "base", tmp_path / "b" / "runs" / "other"]
    paths = [make_run(path, parley, skill=float(n)) for n, path in enumerate(places)]

    group = gather(paths)[0]

    assert {entry.name for entry in group.entries} == {"a/runs/base", "b/runs/base", "other"}
    with pytest.raises(MerkitError, match=r"base' is given more than once: name each run once"):
        gather([paths[0], paths[2], paths[0]])


def test_no_run_is_an_error():
    with pytest.raises(MerkitError, match="No run given"):
        gather([])


def test_the_csv_holds_a_row_for_each_run_and_metric_with_what_it_must_not_be_quoted_without(files, runs, parley):
    with files.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = score_run(runs[1])["test"]["macro_f1"]

    assert len(rows) == 3 * 4
    row = next(row for row in rows if (row["run"], row["metric"]) == ("fused", "macro_f1"))
    assert float(row["mean"]) == pytest.approx(100 * own["mean"], abs=1e-4)
    assert (row["protocol"], row["selection"], row["seeds"]) == ("parley", "best_valid", "0 1")
    assert row["data_sha256"] == parley.manifest.sha256
    assert all(row["leaky_best_on_test"] == "" for row in rows if row["run"] != "fused")


def charts_of(page):
    """The charts of logged values: heading, names in the legend, ends of the lines."""
    charts = {}
    for figure in re.findall(r"<figure>.*?</figure>", page, re.DOTALL):
        if 'class="legend"' in figure:
            names = re.findall(r'class="entry">.*?</svg>([^<]+)<', figure)
            charts[re.search(r"<h4>([^<]+)", figure)[1]] = (names, re.search(r'aria-label="([^"]+)', figure)[1])
    return charts


def test_what_a_model_logs_is_drawn_by_group(parley, make_run, references, tmp_path):
    def logged(seed, epoch):
        values = {"gate.text": 0.2 * (1 + seed) * epoch, "gate.text_audio": 0.5, "temperature": 2.0}
        return values | ({"ratio.late.one": 3.0} if epoch > 2 and seed == 1 else {"ratio.late.one": float("nan")})

    run = make_run(tmp_path / "run", parley, epochs=4, logged=logged)

    files = write_report([run], tmp_path / "report", printed=references)

    charts = charts_of(files.html.read_text(encoding="utf-8"))
    assert list(charts) == ["gate", "temperature", "ratio"]
    assert charts["gate"][0] == ["text", "text_audio"]
    assert "text: 1.2 at epoch 4, text_audio: 0.5 at epoch 4" in charts["gate"][1]  # the mean of 0.8 and 1.6
    assert charts["temperature"][0] == ["temperature"]
    assert charts["ratio"][0] == ["late.one"]
    assert "late.one: 3 at epoch 4" in charts["ratio"][1]


def test_nothing_is_drawn_for_a_model_that_logs_nothing(files):
    assert charts_of(files.html.read_text(encoding="utf-8")) == {}


def test_seeds_that_stopped_early_leave_the_mean_to_the_others(parley, make_run, references, tmp_path):
    run = make_run(tmp_path / "run", parley, epochs=3, logged=lambda seed, epoch: {"gate.text": 1.0 + seed})
    history = next(run.glob("fold-*/seed-0")) / "history.jsonl"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:1]))
    cell = history.with_name("cell.json")
    cell.write_text(cell.read_text().replace('"epoch": 3', '"epoch": 1'))

    files = write_report([run], tmp_path / "report", printed=references)

    page = files.html.read_text(encoding="utf-8")
    assert "text: 2 at epoch 3" in charts_of(page)["gate"][1]


def test_a_run_of_one_seed_claims_no_deviation(parley, make_run, references, tmp_path):
    run = make_run(tmp_path / "run", parley, seeds=(0,))

    files = write_report([run], tmp_path / "report", printed=references)

    assert "±" not in files.html.read_text(encoding="utf-8") + files.markdown.read_text(encoding="utf-8")
    with files.csv.open(newline="") as file:
        assert {row["std"] for row in csv.DictReader(file)} == {""}


@pytest.mark.parametrize("stage", ["alone", "below"])
def test_a_run_on_published_features_is_marked_as_unable_to_read_recordings(
    parley, make_run, references, tmp_path, stage
):
    encoder = {"name": "precomputed", "features": "praat"}
    if stage == "below":
        encoder = {"name": "checkpoint", "recipe": {"model": "single", "encoders": {"audio": encoder}}}
    runs = [make_run(tmp_path / "one", parley, encoders={"audio": encoder}), make_run(tmp_path / "two", parley)]

    files = write_report(runs, tmp_path / "report", printed=references)

    for text in (Tree(files.html.read_text(encoding="utf-8")).text, files.markdown.read_text(encoding="utf-8")):
        assert "† An input is published features: the checkpoint cannot read recordings." in text
        assert "published features (praat)" in text
        assert text.count(" †") == 2  # at one run, and in the caption
    with files.csv.open(newline="") as file:
        assert {(row["run"], row["reads_recordings"]) for row in csv.DictReader(file)} == {
            ("one", "no"),
            ("two", "yes"),
        }


def test_the_code_that_made_a_run_is_named_where_the_run_recorded_it(runs, references, tmp_path):
    for path in runs[2].glob("fold-*/seed-*/cell.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "code": {"models/single.py": "c0de"}}))
    code = hashlib.sha256(b'{"models/single.py": "c0de"}').hexdigest()

    files = write_report(runs, tmp_path / "report", printed=references)

    assert files.html.read_text(encoding="utf-8").count(f"source files {code[:16]}") == 1
    with files.csv.open(newline="") as file:
        charts = {row["run"]: row["code_sha256"] for row in csv.DictReader(file)}
    assert charts == {"z_majority": "", "fused": "", "text": code}


def test_cells_are_printed_as_they_are_in_both_formats():
    names = ["a|b", "<i>x</i>", "*bold*", "[x](http://y)", "back\\slash", "two\nlines", "snake_case"]
    section = Section("t", [Column("System")], [Row([Cell(name)]) for name in names], caption="<b>|")

    html, markdown = section_html(section), section_markdown(section)

    assert not Tree(html).names & {"i", "b", "a"}
    assert Tree(html).text == "t System " + " ".join(" ".join(names).split()) + " <b>|"
    assert markdown.splitlines()[2:] == [
        r"| a\|b |", r"| \<i>x\</i> |", r"| \*bold\* |", r"| [x\](http://y) |", r"| back\\slash |", "| two lines |",
        "| snake_case |", "", r"\<b>\|",
    ]  # fmt: skip


def test_what_would_command_a_terminal_or_turn_the_direction_of_writing_is_shown():
    section = Section("t", [Column("a\x1b[31m|b")], [Row([Cell("\u202ex", "&lt;\x00 $y$")])])

    html, markdown = section_html(section), section_markdown(section)

    assert not re.search("[\x00\x1b\u202e]", html + markdown)
    assert r"a\x1b[31m|b" in Tree(html).text
    assert Tree(html).text.endswith(r"\u202ex &lt;\x00 $y$")
    assert markdown.splitlines()[0] == r"| a\\x1b[31m\|b |"
    assert markdown.splitlines()[2] == r"| \\u202ex (\&lt;\\x00 \$y\$) |"


def test_one_seed_is_no_mean_over_seeds(parley, make_run, references, tmp_path):
    files = write_report([make_run(tmp_path / "run", parley, seeds=(0,))], tmp_path / "report", printed=references)

    text = Tree(files.html.read_text(encoding="utf-8")).text + files.markdown.read_text(encoding="utf-8")
    assert "over seeds" not in text


def test_frozen_networks_count_as_parameters_and_features_have_a_time(parley, make_run, references, tmp_path):
    runs = [make_run(tmp_path / name, parley) for name in ("new", "old")]
    for path in runs[0].glob("fold-*/seed-*/cell.json"):
        cell = json.loads(path.read_text())
        path.write_text(json.dumps({**cell, "frozen_parameters": 22_000_000, "feature_seconds": 40.25}))

    files = write_report(runs, tmp_path / "report", printed=references)

    cost = files.markdown.read_text(encoding="utf-8").split("### Cost")[1].splitlines()
    assert cost[2] == (
        "| System | Parameters | of them trained | Features | Training, all | per fold and seed | Peak memory |"
    )
    assert cost[4].startswith("| new | 23,234,567 | 34,567 | 80.5 s | 25.0 s | 12.5 s |")
    assert cost[5].startswith("| old | 1,234,567 (without frozen networks) | 34,567 | – | 25.0 s | 12.5 s |")
    with files.csv.open(newline="") as file:
        rows = {row["run"]: (row["frozen_parameters"], row["feature_seconds"]) for row in csv.DictReader(file)}
    assert rows == {"new": ("22000000", "80.5000"), "old": ("", "")}


def test_equal_names_in_the_first_column_are_merged_on_the_page_and_repeated_in_markdown():
    rows = [Row([Cell(name), Cell(value)]) for name, value in (("a", "1"), ("a", "2"), ("b", "3"))]
    section = Section("t", [Column("System"), Column("value", numeric=True)], rows)

    html = section_html(section)

    assert html.count('<th scope="rowgroup" rowspan="2">a</th>') == html.count('<th scope="row">b</th>') == 1
    assert section_markdown(section).splitlines()[2:] == ["| a | 1 |", "| a | 2 |", "| b | 3 |"]
