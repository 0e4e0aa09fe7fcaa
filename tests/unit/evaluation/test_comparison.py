import pytest

from merkit.core.errors import MerkitError
from merkit.evaluation.comparison import Comparison, compare_all
from merkit.evaluation.stored import Run, open_run


def compare(run: Run, reference: Run) -> Comparison:
    return compare_all([(run.path.name, run)], reference)[0]


def test_a_run_beside_itself_is_not_distinguishable(parley, make_run, tmp_path):
    first, again = (open_run(make_run(tmp_path / name, parley)) for name in ("a", "b"))

    compared = compare(again, first)

    assert (compared.difference, compared.p_value, compared.verdict) == (0, 1, "Not distinguishable")
    assert compared.interval == (0, 0)


def test_a_far_better_system_is_better_and_the_other_way_round_worse(parley, make_run, tmp_path):
    weak = open_run(make_run(tmp_path / "weak", parley, skill=0.5))
    strong = open_run(make_run(tmp_path / "strong", parley, skill=4))

    compared, mirrored = compare(strong, weak), compare(weak, strong)

    assert (compared.verdict, mirrored.verdict) == ("Better", "Worse")
    assert compared.interval[0] > 0
    assert mirrored.difference == pytest.approx(-compared.difference)
    assert mirrored.p_value == compared.p_value == pytest.approx(2 / 2**10)  # 10 test conversations, every swap tried


def test_holm_counts_all_comparisons_with_the_reference(parley, make_run, tmp_path):
    runs = [open_run(make_run(tmp_path / f"r{skill}", parley, skill=skill)) for skill in (1.0, 3.0, 4.0)]

    compared = compare_all([(run.path.name, run) for run in runs[1:]], runs[0])

    assert [c.system for c in compared] == ["r3.0", "r4.0"]
    assert max(c.adjusted for c in compared) >= max(c.p_value for c in compared)
    assert min(c.adjusted for c in compared) == pytest.approx(2 * min(c.p_value for c in compared))


def test_only_seeds_that_both_have_are_compared(parley, make_run, tmp_path):
    first = open_run(make_run(tmp_path / "a", parley, seeds=(0, 1, 2)))
    second = open_run(make_run(tmp_path / "b", parley, seeds=(0, 1), skill=2))

    assert compare(second, first).seeds == (0, 1)


def test_folds_are_averaged_as_in_the_table(nemo, make_run, tmp_path):
    weak = open_run(make_run(tmp_path / "weak", nemo, skill=0.5))
    strong = open_run(make_run(tmp_path / "strong", nemo, skill=4))

    compared = compare(strong, weak)

    assert compared.metric == "mean_recall"
    assert compared.p_value == pytest.approx(2 / 2**6)  # 6 speakers
    assert compared.verdict == "Better"


def test_a_run_of_another_task_is_refused(parley, nemo, make_run, tmp_path):
    first = open_run(make_run(tmp_path / "a", parley))

    with pytest.raises(
        MerkitError, match="only runs of one task can be compared, found protocol nemo6 and parley; cla"
    ):
        compare(open_run(make_run(tmp_path / "b", nemo)), first)
