"""``python -m tests.fuzz``: mutate inputs of every kind, and count what ``merkit`` makes of them.

Every call must end within 20 s, below 2 GB, with exit code 0, 1 or 2, without a traceback, and with a message where it
refuses. A damaged checkpoint or store must be refused, made again or change no result. Inputs that break a rule are
written to ``--keep``; once mended they belong into ``tests/fuzz/kept/<target>/<case>/``, which every run begins with.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tests.commandline import call
from tests.fuzz.mutations import mutated
from tests.fuzz.sandbox import KEPT, Call, Outcome
from tests.fuzz.targets import TARGETS, draw, make_shared, small

REGRESSIONS = Path(__file__).parent / "kept"


@dataclass
class Tally:
    """What the calls of one target came to."""

    verdicts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    largest_mb: float = 0.0

    def add(self, verdict: str, outcome: Outcome) -> None:
        self.verdicts[verdict] += 1
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.largest_mb = max(self.largest_mb, outcome.memory_mb)


@dataclass(frozen=True)
class Case:
    """One mutated file among the valid ones of its target."""

    target: str
    changed: Path
    """Relative to the folder of the target's files."""
    content: bytes


class Bench:
    """Valid files and results of every target, and the folder in which calls run."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.shared = folder, folder / "shared"
        self.shared.mkdir()
        make_shared(self.shared)
        self.files: dict[str, list[Path]] = {}
        self.expected: dict[str, bytes] = {}
        for name in names:
            base = folder / name
            base.mkdir()
            self.files[name] = [path.relative_to(base) for path in TARGETS[name].make(self.shared, base)]
            first = self.files[name][0]
            case = Case(name, first, (base / first).read_bytes())
            self._lay_out(case, folder / "calls" / name)
            with contextlib.chdir(folder / "calls" / name):  # in this process, so that forks have all that is imported
                done = call(*TARGETS[name].command(self.shared, first))
            if done.code != 0:
                raise RuntimeError(f"{name}: the valid files are not accepted: {done.error}")
            if (result := TARGETS[name].result) is not None:
                self.expected[name] = (folder / "calls" / name / result).read_bytes()
            shutil.rmtree(folder / "calls" / name)

    def case(self, name: str, generator: random.Random) -> Case:
        """Draw a file of a target and mutate it."""
        base = self.folder / name
        path = draw(self.files[name], generator)
        others = [(base / other).read_bytes() for other in self.files[name] if other.suffix == path.suffix]
        while True:
            case = Case(name, path, mutated((base / path).read_bytes(), others, generator))
            if small(case.changed, case.content):
                return case

    def start(self, case: Case, folder: Path) -> Call:
        """Start the target's command on a copy of its files with the mutated one among them."""
        self._lay_out(case, folder)
        return Call(TARGETS[case.target].command(self.shared, case.changed), folder)

    def _lay_out(self, case: Case, folder: Path) -> None:
        shutil.copytree(self.folder / case.target, folder)
        (folder / case.changed).parent.mkdir(parents=True, exist_ok=True)
        (folder / case.changed).write_bytes(case.content)
        if (finish := TARGETS[case.target].finish) is not None:
            finish(folder)

    def verdict(self, case: Case, outcome: Outcome, folder: Path) -> str:
        """Return the outcome's verdict, ``other result`` where a call succeeded with another result than it should."""
        if outcome.verdict != "done" or case.target not in self.expected:
            return outcome.verdict
        result = folder / str(TARGETS[case.target].result)
        same = result.is_file() and result.read_bytes() == self.expected[case.target]
        return "done" if same else "other result"


def cases(bench: Bench, names: list[str], seconds: float, generator: random.Random) -> Iterator[Case]:
    """Yield the kept cases, then mutated inputs of all targets in turn until the time is over."""
    for name in names:
        for folder in sorted((REGRESSIONS / name).glob("*")):
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                yield Case(name, path.relative_to(folder), path.read_bytes())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in names:
            yield bench.case(name, generator)


def run(names: list[str], seconds: float, seed: int, workers: int, keep: Path) -> tuple[dict[str, Tally], int]:
    """Run calls side by side; return what they came to by target, and how many kept inputs broke a rule again."""
    tallies = {name: Tally() for name in names}
    kept = len([path for name in names for path in (REGRESSIONS / name).rglob("*") if path.is_file()])
    regressions = 0
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), names)
        running: deque[tuple[int, Case, Call]] = deque()

        def finish() -> None:
            nonlocal regressions
            number, case, started = running.popleft()
            outcome = started.wait()
            verdict = bench.verdict(case, outcome, started.folder)
            tallies[case.target].add(verdict, outcome)
            if verdict not in KEPT:
                regressions += number < kept
                folder = keep / case.target / f"{seed}-{number}-{verdict.replace(' ', '-')}"
                (folder / case.changed).parent.mkdir(parents=True, exist_ok=True)
                (folder / case.changed).write_bytes(case.content)
                last = (outcome.output.strip().splitlines() or [""])[-1][:200]
                print(f"{verdict}: {folder} (code {outcome.code}, {outcome.seconds:.1f} s): {last}", flush=True)
            shutil.rmtree(started.folder)

        for number, case in enumerate(cases(bench, names, seconds, random.Random(seed))):
            if len(running) == workers:
                finish()
            running.append((number, case, bench.start(case, Path(scratch) / "calls" / str(number))))
        while running:
            finish()
    return tallies, regressions


def table(tallies: dict[str, Tally]) -> str:
    """Return the counts as text, a line for each target and one for all."""
    broken = sorted({verdict for tally in tallies.values() for verdict in tally.verdicts} - set(KEPT))
    columns = [*KEPT, *broken]
    lines = [
        f"{'target':<20}{'inputs':>8}" + "".join(f"{name:>14}" for name in columns) + f"{'slowest':>10}{'memory':>10}"
    ]
    for name, tally in tallies.items():
        counts = "".join(f"{tally.verdicts[column]:>14}" for column in columns)
        lines.append(
            f"{name:<20}{tally.verdicts.total():>8}{counts}{tally.slowest_s:>8.1f} s{tally.largest_mb:>7.0f} MB"
        )
    total = sum((tally.verdicts for tally in tallies.values()), Counter())
    lines.append(f"{'all':<20}{total.total():>8}" + "".join(f"{total[column]:>14}" for column in columns))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to draw inputs; 0: the kept ones alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for inputs that break a rule")
    parser.add_argument("--advisory", action="store_true", help="exit with 1 for kept inputs alone; print the others")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"of {', '.join(TARGETS)}")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # a fork inherits no threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    started = time.monotonic()
    tallies, regressions = run(asked.targets, asked.seconds, asked.seed, asked.workers, asked.keep.resolve())
    print(table(tallies))
    total = sum((tally.verdicts for tally in tallies.values()), Counter())
    broken = {verdict: count for verdict, count in total.items() if verdict not in KEPT}
    print(
        f"{total.total()} inputs, seed {asked.seed}, {time.monotonic() - started:.0f} s: {broken or 'all rules kept'}"
    )
    return 1 if regressions or (broken and not asked.advisory) else 0


if __name__ == "__main__":
    sys.exit(main())
