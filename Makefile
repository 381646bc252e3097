# The project's commands: `make` lists them. Python 3.11 to 3.14 and make are all they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
POETRY ?= poetry
VENV := .venv
BIN := $(VENV)/bin

# One thread per test process: the processes share the cores. Tests and benchmarks may be given another number.
TEST_THREADS ?= 1
PYTEST = OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# A constant, not the time of the commit: the commit of a release holds the archives, so they cannot depend on it.
export SOURCE_DATE_EPOCH := 315532800

.PHONY: help setup experiments test test-slow lint lock bench dist clean distclean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=... chooses the interpreter for $(VENV), ARGS='...' is handed to the command of a target."

setup: $(VENV)/.ready  ## make .venv with the locked packages and this checkout (the other targets do so as needed)

experiments: $(VENV)/.ready  ## train and compare the models (ARGS='--preset paper', '--dry-run', '--help', ...)
	$(BIN)/python run_experiments.py $(ARGS)

test: $(VENV)/.ready  ## run the tests but the slow ones (ARGS='-k name', ...)
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/.ready  ## run the slow tests
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/.ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready  ## measure speed in a quarter of an hour: results/benchmarks/, docs/benchmarks.md (ARGS='--quick', ...)
	$(BIN)/python -m benchmarks $(ARGS)

dist: $(VENV)/.ready  ## build the wheel and the sdist of this version into dist/
	rm -f dist/wavpool-*
	$(BIN)/python -m build --no-isolation --outdir dist

lock:  ## solve the dependencies anew into poetry.lock and requirements.txt (needs poetry and poetry-plugin-export)
	$(POETRY) lock
	$(POETRY) export --all-extras --with dev --without-urls --output requirements.txt

clean:  ## remove caches and logs, but not runs/ (what was trained), results/, dist/ and .venv
	rm -rf build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis lightning_logs
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf $(VENV)

$(VENV)/.packages: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:3]; sys.exit(v < (3, 11) or v >= (3, 15) or v == (3, 14, 1))' || { \
		echo "wavpool's locked packages need Python 3.11 to 3.14 (not 3.14.1), but $(PYTHON) is not one:" \
		"choose it with 'make PYTHON=python3.12 ...'" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV): about 3 GB to download the first time, 7 GB on disk, some minutes."
	$(BIN)/python -m pip install --quiet --progress-bar off --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

# poetry-core, the build backend, is among the locked packages: nothing is fetched here.
$(VENV)/.ready: $(VENV)/.packages pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
