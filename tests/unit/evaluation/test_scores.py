"""Scores recomputed from stored predictions; golden values from scikit-learn on the same files."""

import itertools
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, recall_score

from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import write_manifest
from merkit.evaluation.scores import score, score_run, scores_of
from merkit.evaluation.stored import LabelledPredictions, open_run
from merkit.metrics.classification import METRICS
from merkit.metrics.multi_label import metrics_of


def stored(run, corpus, fold, seed, split="test"):
    """True and predicted labels straight from the file."""
    rows = pq.read_table(run / f"fold-{fold}" / f"seed-{seed}" / "predictions.parquet").to_pylist()
    truth = {u.id: u.attributes["emotion"] for u in corpus.manifest.utterances}
    return zip(*[(truth[row["id"]], row["label"]) for row in rows if row["split"] == split], strict=True)


def test_the_mean_over_seeds_agrees_with_scikit_learn(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley, seeds=(0, 1))
    expected = [f1_score(*map(list, stored(run, parley, "made", seed)), average="weighted") for seed in (0, 1)]

    value = score_run(run)["test"]["weighted_f1"]

    assert value["mean"] == pytest.approx(np.mean(expected))
    assert value["std"] == pytest.approx(np.std(expected, ddof=1))
    assert value["pooled"] == pytest.approx(value["mean"])
    assert value["interval"][0] < value["mean"] < value["interval"][1]


def test_over_folds_the_mean_of_folds_and_the_pooled_figure_are_both_given(nemo, make_run, tmp_path):
    run = make_run(tmp_path / "run", nemo, seeds=(0,))
    folds = [list(map(list, stored(run, nemo, f"S{n}", 0))) for n in range(6)]
    by_fold = []
    for truth, predicted in folds:
        by_fold.append(recall_score(truth, predicted, average="macro", labels=sorted(set(truth))))
    together = [list(itertools.chain(*lists)) for lists in zip(*folds, strict=True)]

    scores = score_run(run)

    value = scores["test"]["mean_recall"]
    assert value["mean"] == pytest.approx(np.mean(by_fold))
    assert value["pooled"] == pytest.approx(recall_score(*together, average="macro"))
    assert value["std"] is None
    assert (scores["clusters"], scores["cluster"], scores["support"]) == (6, "speaker", 24 * 8)


def test_a_fold_of_one_speaker_counts_as_often_as_the_speaker_was_drawn(nemo, make_run, tmp_path):
    # the standard error of a mean over 6 speakers, each a fold: the interval is 2 * 1.96 of them wide, less a tenth or
    # so because the bootstrap divides by n and 6 is few
    run = make_run(tmp_path / "run", nemo, seeds=(0,))
    by_fold = [np.mean([t == p for t, p in zip(*stored(run, nemo, f"S{n}", 0), strict=True)]) for n in range(6)]

    low, high = score_run(run)["test"]["accuracy"]["interval"]

    assert high - low == pytest.approx(2 * 1.96 * np.std(by_fold) / np.sqrt(6), rel=0.15)


def test_a_label_that_a_draw_misses_does_not_lower_the_interval_of_a_perfect_run():
    # 30 conversations of one utterance, 20 labels in one of them each, all predicted without a mistake
    counts = np.zeros((30, 2, 1, 20, 4), dtype=np.int64)
    counts[..., 0] = 1
    counts[np.arange(20), ..., np.arange(20), :] = [0, 0, 0, 1]
    metrics = metrics_of(multi_label=True)
    run = SimpleNamespace(metrics=metrics, protocol=SimpleNamespace(pooled=False, metrics=tuple(metrics)))

    found = scores_of(run, counts)

    assert {name: (value["mean"], value["interval"]) for name, value in found.items()} == {
        name: (1.0, [1.0, 1.0]) for name in metrics
    }


def test_the_interval_of_a_class_is_over_the_draws_that_have_it(parley, make_run, tmp_path):
    run = open_run(make_run(tmp_path / "run", parley))
    right = np.zeros((5, 2, 1, 4, 4), dtype=np.int64)
    right[:, :, 0, 0, 0] = 3
    right[0, :, 0, 1, 1] = 2  # a class in one of five conversations, predicted without a mistake; two in none
    vars(run).update(counts=right, clusters=tuple("abcde"))

    rows = score(run)["per_class"]

    assert [row["f1"]["interval"] for row in rows] == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert [row["f1"]["mean"] for row in rows] == [1.0, 1.0, 0.0, 0.0]


def test_a_fold_without_a_drawn_conversation_has_no_part_in_the_draw_where_each_seed_has_folds_of_its_own():
    # two conversations, each alone in a fold, another one for each seed, and all correct
    counts = np.zeros((2, 2, 2, 2, 2), dtype=np.int64)
    for seed, fold in itertools.product(range(2), range(2)):
        counts[fold ^ seed, seed, fold] = np.eye(2)
    run = SimpleNamespace(metrics=METRICS, protocol=SimpleNamespace(pooled=False, metrics=("accuracy",)))

    assert scores_of(run, counts)["accuracy"]["interval"] == [1.0, 1.0]


@pytest.mark.parametrize(("turns", "bytes_each"), [(127, 1), (128, 2)])
def test_counts_take_no_more_bytes_than_the_largest_needs(parley, make_run, tmp_path, turns, bytes_each):
    run = open_run(make_run(tmp_path / "run", parley))
    test = run.cells[0].splits["test"]
    first = LabelledPredictions(
        test.ids[:1] * turns, np.zeros(turns, dtype=int), np.zeros(turns, dtype=int), test.probabilities
    )

    counts = run.count([first, test])

    assert (int(counts.max()), counts.itemsize) == (turns, bytes_each)


def test_a_pooled_protocol_is_scored_over_all_folds_at_once(nemo, make_run, tmp_path):
    run = make_run(tmp_path / "run", nemo, seeds=(0,))
    nemo.protocol.pooled = True

    value = score(replace(open_run(run), protocol=nemo.protocol))["test"]["mean_recall"]

    assert value["mean"] == value["pooled"]


def test_figures_by_class_and_the_confusion_matrix_are_means_over_seeds(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    expected = [
        f1_score(*map(list, stored(run, parley, "made", seed)), average=None, labels=["angry"]) for seed in (0, 1)
    ]

    scores = score_run(run)

    rows = {row["label"]: row for row in scores["per_class"]}
    assert list(rows) == scores["labels"] == list(parley.protocol.labels)
    assert rows["angry"]["f1"]["mean"] == pytest.approx(np.mean(expected))
    assert rows["angry"]["f1"]["interval"][0] <= rows["angry"]["f1"]["mean"] <= rows["angry"]["f1"]["interval"][1]
    assert [sum(row) for row in scores["confusion"]] == pytest.approx([rows[label]["support"] for label in rows])


def test_what_is_undefined_is_null_and_the_scores_are_json(parley, make_run, tmp_path, change_predictions):
    run = make_run(tmp_path / "run", parley, seeds=(0,))
    n = pq.read_table(run / "fold-made/seed-0/predictions.parquet").num_rows

    def always_neutral(table):
        columns = {"label": ["neutral"] * n, "confidence": [1.0] * n}
        columns |= {f"p:{label}": [float(label == "neutral")] * n for label in parley.protocol.labels}
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        return table

    change_predictions(run / "fold-made/seed-0", always_neutral)

    scores = json.loads(json.dumps(score_run(run), allow_nan=False))

    assert scores["per_class"][1]["precision"] == {"mean": None, "std": None}
    assert scores["per_class"][1]["recall"]["mean"] == 0
    assert scores["test"]["mean_recall"]["mean"] == pytest.approx(1 / 4)
    assert scores["calibration"]["bins"][0] == {
        "low": 0.0,
        "high": 0.1,
        "count": 0,
        "confidence": None,
        "accuracy": None,
    }


def test_costs_add_up_over_cells(nemo, make_run, tmp_path):
    scores = score_run(make_run(tmp_path / "run", nemo))

    assert scores["seconds"] == 12 * 12.5
    assert scores["peak_memory_bytes"] == 2**29 + 5
    assert (scores["parameters"], scores["trainable_parameters"]) == (1_234_567, 34_567)


def test_the_leaky_figure_stands_apart_and_says_so(parley, make_run, tmp_path):
    plain = score_run(make_run(tmp_path / "plain", parley))
    kept = score_run(make_run(tmp_path / "kept", parley, by_epoch=True))

    assert plain["legacy_best_on_test"] is None
    assert kept["legacy_best_on_test"]["note"].startswith("leaky")
    assert kept["test"] == plain["test"]


def test_the_leaky_figure_is_that_of_the_epoch_best_on_test(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley, seeds=(0,), by_epoch=True)
    truth = {u.id: u.attributes["emotion"] for u in parley.manifest.utterances}
    by_epoch = {}
    for row in pq.read_table(run / "fold-made/seed-0/predictions-by-epoch.parquet").to_pylist():
        by_epoch.setdefault(row["epoch"], []).append(row["label"] == truth[row["id"]])

    leaky = score_run(run)["legacy_best_on_test"]

    assert leaky["accuracy"]["mean"] == pytest.approx(max(np.mean(right) for right in by_epoch.values()))


def test_predictions_of_every_epoch_in_some_cells_only_are_refused(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley, by_epoch=True)
    (run / "fold-made/seed-1/predictions-by-epoch.parquet").unlink()

    with pytest.raises(MerkitError, match="1 of 2 folds and seeds keep predictions of every epoch"):
        score_run(run)


def test_a_run_is_opened_with_the_protocol_and_the_data_it_names(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)

    assert score(open_run(run)) == score_run(run)


def test_data_that_moved_is_asked_for_and_can_be_given(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    shutil.move(parley.manifest.root, tmp_path / "elsewhere")

    with pytest.raises(MerkitError, match="give its folder with --data"):
        open_run(run)
    assert open_run(run, tmp_path / "elsewhere").model == "single"


def drop(table):
    ids = table.column("id").to_pylist()
    return table.filter(pa.array([id_ != "c001_u3" for id_ in ids]))


def rename(table):
    ids = ["c999_u0" if id_ == "c001_u3" else id_ for id_ in table.column("id").to_pylist()]
    return table.set_column(0, "id", pa.array(ids))


def add(table):
    row = table.filter(pa.array([id_ == "c001_u3" for id_ in table.column("id").to_pylist()]))
    return pa.concat_tables([table, row.set_column(0, "id", pa.array(["c000_u0"]))])


def double(table):
    return pa.concat_tables(
        [table, table.filter(pa.array([id_ == "c001_u3" for id_ in table.column("id").to_pylist()]))]
    )


def other_label(table):
    index = table.column_names.index("label")
    return table.set_column(index, "label", pa.array(["bored"] * table.num_rows))


def no_distribution(table):
    index = table.column_names.index("p:happy")
    return table.set_column(index, "p:happy", pa.array([float("nan")] * table.num_rows))


def other_classes(table):
    return table.rename_columns([name.replace("p:happy", "p:joy") for name in table.column_names])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (drop, r"\(test\): c001_u3 without a prediction, of 60 expected"),
        (rename, r"\(test\): c001_u3 without a prediction, of 60 expected"),
        (add, r"\(test\): c000_u0 predicted, but not in this split of the fold"),
        (double, r"\(test\): c001_u3 predicted more than once"),
        (other_label, "has no distribution whose largest value is its label's"),
        (no_distribution, "has no distribution whose largest value is its label's"),
        (other_classes, "probabilities of neutral, joy, angry, sad found"),
    ],
)
def test_predictions_that_do_not_cover_the_test_part_are_an_error_not_a_smaller_test_set(
    parley, make_run, tmp_path, change_predictions, how, message
):
    run = make_run(tmp_path / "run", parley)
    change_predictions(run / "fold-made/seed-1", how)

    with pytest.raises(MerkitError, match=message):
        open_run(run)


def test_many_missing_ids_are_counted(parley, make_run, tmp_path, change_predictions):
    run = make_run(tmp_path / "run", parley)
    change_predictions(run / "fold-made/seed-0", lambda table: table.slice(0, table.num_rows - 10))

    with pytest.raises(MerkitError, match="and 5 more without a prediction"):
        open_run(run)


def test_predictions_of_the_training_part_may_be_left_out(parley, make_run, tmp_path, change_predictions):
    run = make_run(tmp_path / "run", parley)
    before = score_run(run)
    for seed in (0, 1):
        change_predictions(
            run / f"fold-made/seed-{seed}",
            lambda table: table.filter(pa.array([split != "train" for split in table.column("split").to_pylist()])),
        )

    assert score_run(run) == before


def test_a_fold_that_is_not_finished_is_named(nemo, make_run, tmp_path):
    run = make_run(tmp_path / "run", nemo)
    (run / "fold-S2/seed-1/cell.json").unlink()

    with pytest.raises(MerkitError, match="fold S2 seed 1 not finished"):
        open_run(run)


def test_a_run_that_has_not_come_to_its_last_seed_is_not_a_result(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    shutil.rmtree(run / "fold-made/seed-1")

    with pytest.raises(MerkitError, match="fold made seed 1 not finished"):
        open_run(run)


def test_seeds_beyond_those_of_the_recipe_take_no_part(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley, seeds=(0, 1, 2))
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("seeds = 3", "seeds = 2"))

    assert open_run(run).seeds == (0, 1)


def test_a_fold_that_the_protocol_does_not_have_is_named(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    facts = json.loads((run / "fold-made/seed-0/cell.json").read_text())
    (run / "fold-x/seed-0").mkdir(parents=True)
    (run / "fold-x/seed-0/cell.json").write_text(json.dumps({**facts, "fold": "x"}))

    with pytest.raises(MerkitError, match="fold x seed 0 found, which the protocol does not have"):
        open_run(run)


def test_a_model_without_epochs_claims_no_selection(parley, make_run, tmp_path):
    assert score_run(make_run(tmp_path / "one", parley, "majority", epochs=0))["selection"] == "none"
    assert score_run(make_run(tmp_path / "two", parley, selection="last"))["selection"] == "last"


def test_two_selection_rules_in_one_run_are_refused(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    path = run / "fold-made/seed-0/cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "selection": "last"}))

    with pytest.raises(MerkitError, match="selected by best_valid and last"):
        open_run(run)


def test_data_other_than_that_of_training_is_refused(parley, make_run, tmp_path):
    run = make_run(tmp_path / "run", parley)
    other = write_manifest(tmp_path / "other", parley.manifest.utterances[:-1], name="parley", version=1)

    with pytest.raises(MerkitError, match="prepare the same version of the corpus"):
        open_run(run, other.root)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: shutil.rmtree(run), "this is not a run"),
        (
            lambda run: (run / "recipe.toml").unlink(),
            r"recipe.toml is damaged or missing .* again with: merkit",
        ),
        (lambda run: shutil.rmtree(run / "fold-made"), "no finished fold"),
        (lambda run: (run / "provenance.json").unlink(), "provenance.json is damaged or missing"),
        (lambda run: (run / "provenance.json").write_text("{"), "provenance.json is damaged or missing"),
        (lambda run: (run / "fold-made/seed-0/predictions.parquet").unlink(), "predictions.parquet damaged or missing"),
        (lambda run: (run / "fold-made/seed-0/predictions.parquet").write_text("x"), "predictions.parquet damaged or"),
    ],
)
def test_a_run_that_lacks_something_says_what(parley, make_run, tmp_path, spoil, message):
    run = make_run(tmp_path / "run", parley)
    spoil(run)

    with pytest.raises(MerkitError, match=message):
        open_run(run)
