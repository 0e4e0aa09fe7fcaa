"""A checkpoint that carries code is refused before anything that could run it is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
from merkit.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print("code", end.code, "imported", sorted({"torch", "transformers"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", [["analyze", "call.wav"], ["predict", "data", "--out", "p.csv"]])
@pytest.mark.parametrize("depth", ["encoders/text", "encoders/text/member-0/encoders/text"])
def test_code_beside_a_network_is_refused_without_a_question(tmp_path: Path, command: list[str], depth: str) -> None:
    network = tmp_path / "checkpoint" / depth
    network.mkdir(parents=True)
    (tmp_path / "checkpoint" / "config.json").write_text('{"format": 2}')
    (network / "planted.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').close()\n")
    (network / "config.json").write_text(
        json.dumps({"model_type": "unheard", "auto_map": {"AutoConfig": "planted.Planted", "AutoModel": "planted.Net"}})
    )

    done = subprocess.run(
        [sys.executable, "-c", RUN, *command, "--checkpoint", "checkpoint"],
        cwd=tmp_path,
        input="y\n" * 1000,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == "code 2 imported []\n"
    assert "needs code of its own, which merkit does not run (auto_map)" in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) <= 3
    assert not (tmp_path / "run").exists()
