# make setup | demo | test | check | bench | docs | clean. Each works as the first command on a fresh clone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.tradinghf-installed
# Two busy thread pools on two cores slow each other down: workers, not threads, fill the cores.
export OMP_NUM_THREADS ?= 1
WORKERS ?= 2
ARGS ?=

.PHONY: help setup demo test quick check docs bench lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything.

$(STAMP): pyproject.toml constraints.txt scripts/setup scripts/fetch_assets.py
	scripts/setup
	@touch $@

test: $(STAMP) ## Run every test.
	scripts/system_packages
	$(BIN)/python scripts/fetch_assets.py --tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

quick: $(STAMP) ## Run the tests that take less than ten seconds each and no browser.
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not browser" $(ARGS)

check: $(STAMP) ## Lint, formatting, types, and generated documents.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/reference.py --check

docs: $(STAMP) ## Regenerate docs/cli.md and docs/api.md.
	$(BIN)/python scripts/reference.py

lock: $(STAMP) ## Rewrite constraints.txt from what .venv holds.
	$(BIN)/python scripts/lock.py

clean: ## Remove caches and build outputs; keeps .venv and runs.
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
