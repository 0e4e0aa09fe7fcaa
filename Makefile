# make demo   the synthetic corpus, six models, a report and an analysed call, in demo/
# make test   lint, types, layers, tests, coverage, and 20 seconds of damaged inputs
# make check  the same in under two minutes, with the tests of what has changed since main alone
# make fuzz   damaged inputs of every kind, for an hour; SECONDS=600 and SEED=1 choose how long and which
# make weights DATA=FOLDER  trains and measures the built-in models on the corpora below FOLDER (weights/)
# make docs   the documentation site, in build/site; fails on any warning
# make install creates .venv and installs merkit with all that both of them need; does nothing when that is done

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell grep '^torch==' constraints.txt)
SCRIPT_TYPES := --cache-dir=.mypy_cache/scripts --config-file= --ignore-missing-imports --follow-imports=silent --disable-error-code=name-defined

.PHONY: install demo lint test check fuzz weights docs clean
install: $(STAMP)

# torch first and alone: where a CPU build of the pinned version is at hand, pip takes it, and nothing else asks for more.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "merkit needs Python 3.11 to 3.13, found %d.%d: run make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[align,demo,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps resemblyzer==0.1.4  # its weights alone are read
	touch $(STAMP)

demo: install
	$(BIN)/merkit demo demo

lint: install
	$(BIN)/ruff check src tests benchmarks docs weights
	$(BIN)/ruff format --check src tests benchmarks docs weights
	$(BIN)/mypy
	MYPYPATH=src:. $(BIN)/mypy $(SCRIPT_TYPES) benchmarks/*.py
	$(BIN)/mypy $(SCRIPT_TYPES) --package weights
	$(BIN)/lint-imports

test: lint
	$(BIN)/python tests/run.py
	$(BIN)/python -m tests.fuzz --seconds 20 --advisory

check: lint
	$(BIN)/python tests/check.py

fuzz: install
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),3600) --seed $(or $(SEED),0)

weights: install
	$(if $(DATA),,$(error give the folder of ravdess, nemo, emodb, emovo, meld and goemotions: make weights DATA=FOLDER))
	$(BIN)/python -m weights.voice --data $(DATA)
	$(BIN)/python -m weights.words --data $(DATA)
	$(BIN)/python -m weights.conversation --data $(DATA)

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo build
