import re
from xml.etree import ElementTree

import pytest

from merkit.reporting.charts import Curve, Scale, axis, curves, legend, reliability, scale_around, track


def numbers(svg, tag, name):
    return [float(value) for value in re.findall(rf'<{tag}[^>]* {name}="([-0-9.]+)', svg)]


def test_positions_are_percentages_clipped_to_the_chart():
    scale = Scale(20, 60)

    assert [scale.position(value) for value in (20, 30, 60, 100, 0)] == [0, 25, 100, 100, 0]


def test_ticks_are_round_and_inside():
    assert Scale(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert Scale(0.53, 0.72).ticks() == pytest.approx([0.55, 0.6, 0.65, 0.7])


def test_a_range_holds_all_values_even_if_they_are_equal():
    for values in ([0.5, 0.7], [3.0], [0.0, 0.0]):
        scale = scale_around(values)

        assert scale.low < min(values) <= max(values) < scale.high


def test_air_does_not_make_room_for_negative_values():
    assert scale_around([0.01, 0.98]).low == 0
    assert scale_around([0.0, 0.98]).low < 0
    assert scale_around([-0.01, 0.98]).low < -0.01


def test_a_dot_and_its_whiskers_stand_where_the_figures_are():
    svg = track(Scale(0, 1), 0.5, (0.25, 0.75), "some <words>", printed=(0.9,))

    assert numbers(svg, "circle", "cx") == [50]
    assert numbers(svg, 'line class="whisker"', "x1")[0] == 25
    assert numbers(svg, 'line class="whisker"', "x2")[0] == 75
    assert 'svg x="90.00%"' in svg
    assert ElementTree.fromstring(svg).get("aria-label") == "some <words>"


def test_the_axis_prints_percents():
    assert re.findall(r">(\d+)<", axis(Scale(0, 1))) == ["0", "20", "40", "60", "80", "100"]


def test_curves_rise_with_their_values_and_mark_the_chosen_epoch():
    svg = curves([Curve("seed 0", [0.2, 0.4, 0.3], chosen=2)], "Accuracy", factor=100)
    points = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', svg)[1].split()]

    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[1][1] < points[2][1] < points[0][1]  # SVG counts downwards
    assert (numbers(svg, "circle", "cx")[0], numbers(svg, "circle", "cy")[0]) == points[1]
    assert "30 at epoch 3" in ElementTree.fromstring(svg).get("aria-label")


@pytest.mark.parametrize("chosen", [None, 0, 9])
def test_an_epoch_that_is_not_there_is_not_marked(chosen):
    assert "circle" not in curves([Curve("seed 0", [0.5], chosen)], "Accuracy")


def test_many_curves_are_drawn_thin():
    assert 'class="chart crowd"' in curves([Curve(str(n), [0.1, 0.2]) for n in range(9)], "Accuracy")


def test_lines_that_are_told_apart_keep_their_colour_in_the_legend_however_many():
    lines = [Curve(f"<{n}>", [0.1, 0.2], kind=f"line-{n}") for n in range(9)]

    drawn, named = curves(lines, "gate"), ElementTree.fromstring(f"<p>{legend(lines)}</p>")

    assert [part.get("class") for part in named.iter("line")] == re.findall(r'polyline class="([^"]+)"', drawn)
    assert [entry.find("svg").tail for entry in named] == [f"<{n}>" for n in range(9)]
    assert "crowd" not in drawn


def test_an_epoch_without_a_value_is_left_out_of_its_line():
    svg = curves([Curve("a", [None, 0.5, None, 0.7]), Curve("b", [None, 0.6])], "gate")

    first, second = (points.split() for points in re.findall(r'points="([^"]+)"', svg))
    assert len(first) == 2
    assert first[0].split(",")[0] == second[0].split(",")[0]  # both in epoch 2
    assert second[0] == second[1]  # a dot
    assert "a: 0.7 at epoch 4, b: 0.6 at epoch 2" in ElementTree.fromstring(svg).get("aria-label")


def test_a_constant_has_ticks_that_differ():
    svg = curves([Curve("a", [1.0, 1.0])], "coefficient")

    ticks = re.findall(r'text-anchor="end">([-0-9.e]+)<', svg)
    assert len(set(ticks)) == len(ticks) > 2


def test_reliability_draws_a_bar_for_each_bin_that_holds_something():
    rows = [
        {"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "count": 8, "confidence": 0.75, "accuracy": 0.5},
    ]

    svg = reliability(rows)

    assert svg.count('class="bar"') == svg.count('class="count"') == svg.count('class="mean"') == 1
    assert numbers(svg, 'rect class="bar"', "height") == [110]  # half of 220
    assert "confidence 50 to 100: 50 % correct of 8" in ElementTree.fromstring(svg).get("aria-label")
