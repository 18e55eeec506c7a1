# make run | test | ui | check | clean: everything starts from Python 3.11 and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENTERPRISES ?= 20000
SEED ?= 7
ROWS ?= 1000000
LANDING ?= landing
LAKE ?= data_lake
export DO_NOT_TRACK = 1
export DAGSTER_DISABLE_TELEMETRY = 1

.PHONY: run test ui view check sample manifest format lock bench bench-model clean help
help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; remedy: make PYTHON=/path/to/python3.11 run")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(LANDING)/as_of: | $(VENV)/installed
	@$(BIN)/credit-pipeline sample --out $(LANDING) --enterprises $(ENTERPRISES) --seed $(SEED)

run: $(VENV)/installed $(LANDING)/as_of  ## environment, sample city, daily job, summary
	@$(BIN)/credit-pipeline run --landing $(LANDING) --lake $(LAKE) --as-of $$(cat $(LANDING)/as_of)

sample: $(VENV)/installed $(LANDING)/as_of  ## the sample city's feeds only

manifest: $(VENV)/installed  ## parse the dbt project for Dagster
	@$(BIN)/credit-pipeline manifest

ui: manifest  ## Dagster UI on http://127.0.0.1:3000
	@$(BIN)/credit-pipeline ui --landing $(LANDING) --lake $(LAKE)

view: manifest  ## the UI for who looks on, read-only, on http://127.0.0.1:3001
	@$(BIN)/credit-pipeline ui --read-only --landing $(LANDING) --lake $(LAKE)

test: manifest  ## all tests
	@$(BIN)/python -m pytest -n auto --dist loadfile

check: manifest  ## formatting, lint, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfmt --check --quiet dbt_project

format: $(VENV)/installed  ## format Python and SQL
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/sqlfmt --quiet dbt_project

lock: $(VENV)/installed  ## resolve requirements.lock anew (uv is only needed here)
	@$(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip compile pyproject.toml --extra dev --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q -o requirements.lock

bench: $(VENV)/installed manifest  ## speed: draw, intake, compacted lake, indicators to grades against DuckDB alone (ROWS, ENTERPRISES)
	@$(BIN)/python -m benchmarks.draw
	@$(BIN)/python -m benchmarks.ingest --rows $(ROWS)
	@$(BIN)/python -m benchmarks.compaction
	@$(BIN)/python -m benchmarks.grading --enterprises $(ENTERPRISES)

.venv-bench/installed: benchmarks/requirements-model.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "installing the methods to compare with into .venv-bench (once; about two minutes)"
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-model.txt
	@touch $@

bench-model: .venv-bench/installed  ## the scorecard against other methods on public risk data (BENCH_MODEL="--data DIR --folds 2")
	@nice .venv-bench/bin/python -m benchmarks.model $(BENCH_MODEL)

clean:  ## remove sample, lake, history and environment
	rm -rf $(LANDING) $(LAKE) .dagster_home .keys $(VENV) .venv-bench dbt_project/target
