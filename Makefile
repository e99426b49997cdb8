# make setup | demo | test | slow | test-extras | interop | check | bench | audit | docs | clean. Each works as the first command on a fresh clone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.tradinghf-installed
WORKERS ?= 2
ARGS ?=

.PHONY: help setup demo test slow test-extras interop quick check docs drills bench audit lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything.

$(STAMP): pyproject.toml constraints.txt requirements.lock scripts/setup scripts/fetch_assets.py
	scripts/setup
	@touch $@

# Two busy thread pools on two cores slow each other down: workers, not threads, fill the cores.
test slow quick: export OMP_NUM_THREADS ?= 1

# A file's tests share servers, browsers, trainings and compiled kernels: one worker makes them, once.
# In the order of the folders; by their number of tests, those of long ones would come last.
BY_FILE := --dist loadfile --no-loadscope-reorder

test: $(STAMP) ## Run the tests that take less than ten seconds each, with a browser and servers.
	scripts/system_packages
	$(BIN)/python scripts/fetch_assets.py --tests
	$(BIN)/python -m pytest -n $(WORKERS) $(BY_FILE) -m "not slow" $(ARGS)

slow: $(STAMP) ## Run the tests that take longer: whole loops, months, every page of the docs.
	scripts/system_packages
	$(BIN)/python scripts/fetch_assets.py --tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m slow $(ARGS)

# What needs packages that make setup leaves out, in an environment that has them beside those of .venv.
EXTRAS_VENV := .venv-extras
EXTRAS_STAMP := $(EXTRAS_VENV)/.tradinghf-installed
EVERY_EXTRA := agents,cluster,export,gpu,interop,mlflow,mujoco,search

$(EXTRAS_STAMP): $(STAMP)
	VENV=$(EXTRAS_VENV) BASE=.venv EXTRAS=$(EVERY_EXTRA) scripts/setup
	@touch $@

test-extras interop: export OMP_NUM_THREADS ?= 1
test-extras: $(EXTRAS_STAMP) ## Run the tests that need optional packages; none may be skipped.
	TRADINGHF_TEST_EVERY_EXTRA=1 $(EXTRAS_VENV)/bin/python -m pytest -n $(WORKERS) -m extra $(ARGS)

interop: $(EXTRAS_STAMP) ## Try other libraries, unmodified, and compare with the table of docs/interop.md.
	$(EXTRAS_VENV)/bin/python scripts/interop --check

quick: $(STAMP) ## Run the tests that take less than ten seconds each and no browser.
	$(BIN)/python -m pytest -n $(WORKERS) $(BY_FILE) -m "not slow and not browser" $(ARGS)

demo: $(STAMP) ## The whole loop on real bars, and its page: runs/demo/report.html.
	$(BIN)/tradinghf rlhf --trader drawdown --data sp500 --train-end 2012 --test-start 2015 \
	  --rankings 40 --rounds 3 --steps 600000 --envs 256 --out runs/demo
	$(BIN)/tradinghf report runs/demo

bench: $(STAMP) ## Time everything on this machine and renew docs/benchmarks.md (some minutes).
	benchmarks/quiet.sh

# With SIZE=2 two cases of each, into build/drills; NAMES="ports soak" takes some. What this machine
# lacks the means for (exit code 3) is left out; a broken promise does not stop the others.
OUTCOMES = $(if $(SIZE),build/drills,docs/reliability)
drills: $(STAMP) ## Break everything on purpose, in full (two hours), and renew docs/reliability.md.
	@broken=; for name in $(or $(NAMES),$$($(BIN)/python tests/drills --names)); do \
	  $(BIN)/python tests/drills $$name $(if $(SIZE),--size $(SIZE),--full) \
	    --json $(OUTCOMES)/$$name.json; code=$$?; \
	  [ $$code -eq 0 ] || [ $$code -eq 3 ] || broken="$$broken $$name"; \
	done; $(BIN)/python scripts/reliability.py; \
	[ -z "$$broken" ] || { echo "Promises were broken:$$broken"; exit 1; }

check: $(STAMP) ## Lint, formatting, types, security, and generated documents.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml tradinghf strategies dashboard scripts benchmarks
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/reliability.py --check
	$(BIN)/python scripts/dependencies.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --clean

docs: $(STAMP) ## Regenerate docs/cli.md, api.md and dependencies.md, and build the site in site/.
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/dependencies.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

audit: $(STAMP) ## Ask whether a pinned package has a known weakness; says so when nobody answers.
	scripts/audit

lock: $(STAMP) ## Rewrite constraints.txt and requirements.lock from what .venv holds.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python scripts/lock.py

clean: ## Remove caches and build outputs; keeps .venv, .venv-extras and runs.
	rm -rf .venv-audit .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
