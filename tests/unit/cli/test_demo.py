"""What the demonstration prints."""

from merkit.cli.demo import print_ladder


def test_the_ladder_has_the_best_possible_score_as_one_line(capsys: object) -> None:
    accuracy = {"std": None, "interval": [0.2, 0.3]}
    runs = [
        {"run": name, "support": 8, "clusters": 2, "test": {"accuracy": {**accuracy, "mean": mean}}}
        for name, mean in (("low", 0.25), ("near", 0.8), ("above", 0.95))
    ]

    print_ladder(runs, 0.85)

    lines = capsys.readouterr().out.splitlines()  # type: ignore[attr-defined]
    bars = [line for line in lines if "┃" in line]
    assert len(bars) == 4
    assert len({line.index("┃") for line in bars}) == 1
    assert [line.count("█") for line in bars] == [10, 32, 38, 0]
    assert "best possible" in bars[-1]
    assert "85.00" in bars[-1]
