# Every target makes its own virtual environment when it is missing or older than pyproject.toml.

# Any Python from 3.11; name another with: make test PYTHON=python3.13
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
OLDEST_VENV := .venv-oldest
OLDEST_DUCKDB := $(shell sed -n 's/.*"duckdb>=\([0-9.]*\).*/\1/p' pyproject.toml)
BENCHMARKS := apply initial_copy latency listeners memory churn pgbench shape decode maintain
PYTEST_OPTIONS ?= -n 2 --dist loadfile
BENCH_OPTIONS ?=
HUNT_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest hunt check bench

help: ## Say what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{printf "make %-13s %s\n", $$1, $$2}'

demo: $(VENV)/.stamp ## See it work, on a Postgres of its own that leaves nothing behind.
	$(VENV)/bin/flashql demo

test: $(VENV)/.stamp ## Run the tests.
	$(VENV)/bin/pytest $(PYTEST_OPTIONS)

test-oldest: $(OLDEST_VENV)/.stamp ## Run the tests with the oldest DuckDB allowed, against Postgres 16.
	FLASHQL_TEST_POSTGRES_VERSION=16 $(OLDEST_VENV)/bin/pytest $(PYTEST_OPTIONS)

hunt: $(VENV)/.stamp ## Run the tests on worlds not met before, each random test for HUNT_SECONDS=60.
	FLASHQL_TEST_SEED=random FLASHQL_FUZZ_SECONDS=$(HUNT_SECONDS) $(VENV)/bin/pytest $(PYTEST_OPTIONS)

check: $(VENV)/.stamp ## Look at format, lint, types and import direction.
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.stamp ## Run the benchmarks, about 45 minutes; each writes JSON. BENCH_OPTIONS=--quick is a tenth.
	@for name in $(BENCHMARKS); do $(VENV)/bin/python -m benchmarks.$$name $(BENCH_OPTIONS) || exit 1; done

$(VENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@

$(OLDEST_VENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/pip install --quiet --editable '.[dev]' 'duckdb==$(OLDEST_DUCKDB)'
	touch $@
