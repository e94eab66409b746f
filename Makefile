# `make demo` and `make test` build their own environment in .venv. PYTHON picks the interpreter that
# makes it; `make clean` first to change it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Another one: with the CUDA plugin in it JAX would look for GPUs in every other target, too.
H200 := .venv-h200
# And one that needs nothing of the others: pages and docstrings are read, not run.
DOCS := .venv-docs
ENVIRONMENTS := $(VENV) $(H200) $(DOCS)
PIP := bin/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-slow lint format bench docs test-docs h200 test-h200 clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.package  ## Compare the learners on the duopoly, into results/duopoly
	$(BIN)/stackjax compare duopoly --out results/duopoly

# More than half of the time would go into optimising what is compiled, which few tests are about.
QUICKLY := JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
  XLA_FLAGS="--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"

test: lint  ## Lint, check the types and run the tests
	$(QUICKLY) $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not optimized"
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "optimized and not slow"

test-slow: $(VENV)/.dev $(VENV)/.package  ## Run the variants that `make test` leaves out
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(VENV)/.dev $(VENV)/.package  ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy stackjax

format: $(VENV)/.dev  ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.bench $(VENV)/.package  ## Measure speed against the peers
	$(BIN)/python -m benchmarks.speed

docs: $(DOCS)/.docs  ## Build the documentation into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

test-docs: docs  ## Check the built documentation: links, the search index, nothing from elsewhere
	$(DOCS)/bin/python tests/built_site.py build/site

h200: $(H200)/.h200 $(H200)/.package  ## Compile for an NVIDIA H200, which needs none, and report
	$(H200)/bin/python -m benchmarks.h200
	$(H200)/bin/python -m benchmarks.h200.kernels

test-h200: $(H200)/.dev $(H200)/.h200 $(H200)/.package  ## Hold what is compiled for an H200 to budgets
	$(H200)/bin/python -m pytest tests/h200

clean:  ## Remove the environments, caches and results
	rm -rf $(ENVIRONMENTS) results build dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment file is made again when what it comes from has changed.

$(ENVIRONMENTS:=/.python):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: stackjax needs Python 3.11 or newer, but PYTHON=$(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1 || true). Give another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	@touch $@

$(ENVIRONMENTS:=/.run): %/.run: requirements/run.txt %/.python
	$(@D)/$(PIP) install -r $<
	@touch $@

$(ENVIRONMENTS:=/.dev): %/.dev: requirements/dev.txt %/.run
	$(@D)/$(PIP) install -r $<
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(@D)/$(PIP) install -r $<
	@touch $@

$(DOCS)/.docs: requirements/docs.txt $(DOCS)/.python
	$(@D)/$(PIP) install -r $<
	@touch $@

# Without what they depend on: the libraries that a program needs to run, and compiling doesn't.
$(H200)/.h200: requirements/h200.txt $(H200)/.run
	$(@D)/$(PIP) install --no-deps -r $<
	@touch $@

# hatchling and editables are among the run requirements, so nothing is downloaded to build.
$(ENVIRONMENTS:=/.package): %/.package: pyproject.toml %/.run
	$(@D)/$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
