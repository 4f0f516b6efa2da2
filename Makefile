PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
# The live tests mostly wait: one process more than there are processors.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(1 + len(os.sched_getaffinity(0)))" 2>/dev/null || echo auto)
ARGS ?=
SECONDS ?= 600
SEED ?=
LAYER ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Stamps: pip runs again only after pyproject.toml has changed, so that an
# installed tree needs no network.
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test lint format test-matrix soak bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  ARGS=...     passed to pytest (test, test-matrix) or, such as --rounds 3, to bench"
	@echo "  PORT=8000    where the demo listens"
	@echo "  WORKERS=3    how many processes run the tests; one more than processors if not given"
	@echo "  TOXENV=...   runs only these environments of the matrix"
	@echo "  SECONDS=600  how long the soak takes; SEED=... repeats one, LAYER=redis has a Redis in it"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(BIN)/python
	$(PIP) install --editable .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[test,redis]'
	@touch $(RUNTIME) $@

$(BENCH): pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[bench,redis]'
	@touch $(RUNTIME) $@

install: $(DEV) ## Build .venv with everything the tests need

demo: $(RUNTIME) ## Serve the demo project on http://127.0.0.1:$PORT/
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py make_demo_users
	@echo "Demo: http://127.0.0.1:$(PORT)/ (Ctrl-C stops it)"
	@exec $(BIN)/daphne -b 127.0.0.1 -p $(PORT) demo_project.asgi:application

test: lint ## Lint, run the tests in parallel, then those that measure time
	PYTEST=$(BIN)/pytest sh tests/run.sh $(WORKERS) $(ARGS)

lint: $(DEV) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# pyenv's shims answer only for activated versions, so the interpreters
# themselves are put on PATH.
test-matrix: $(DEV) ## Run the tests on every Python and Django found
	@if root=$$(pyenv root 2>/dev/null); then \
		for dir in "$$root"/versions/*/bin; do \
			if [ -d "$$dir" ]; then PATH="$$dir:$$PATH"; fi; \
		done; \
		export PATH; \
	fi; \
	exec $(abspath $(BIN))/tox run $(if $(ARGS),-- $(ARGS))

soak: $(DEV) ## Wear a server down with 1,000 hostile clients, and see what is left
	SOAK_SECONDS=$(SECONDS) SOAK_SEED=$(SEED) SOAK_LAYER=$(LAYER) $(BIN)/pytest -s tests/live/soak $(ARGS)

bench: $(BENCH) ## Print the figures of the performance budgets
	$(BIN)/python benchmarks/echo_in_process.py $(ARGS)
	$(BIN)/python benchmarks/connect_with_jwt.py $(ARGS)
	$(BIN)/python benchmarks/echo_over_servers.py $(ARGS)
	$(BIN)/python benchmarks/connects_over_servers.py $(ARGS)
	$(BIN)/python benchmarks/memory_of_idle_connections.py $(ARGS)
	$(BIN)/python benchmarks/broadcast_in_process.py $(ARGS)
	$(BIN)/python benchmarks/broadcast_over_servers.py $(ARGS)

clean: ## Remove what the other targets made
	rm -rf $(VENV) .tox .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
