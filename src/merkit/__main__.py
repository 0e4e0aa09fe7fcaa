"""Run the command line: ``python -m merkit``."""

from merkit.cli.main import run

if __name__ == "__main__":
    run()
