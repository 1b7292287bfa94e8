# Every target sets up what it needs first: a virtual environment in .venv with the versions of requirements.lock.txt.
# PYTHON=python3.12 make test    uses another Python for it.

SHELL := bash
PYTHON ?= python3
RUN := .venv/bin/
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format types lint clean

help:  ## show the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(READY)  ## edit real photos by example; the results go to demo/
	$(RUN)python examples/demo.py

test: $(READY)  ## run the tests
	$(RUN)python -m pytest -q -n 3 --dist loadfile

check: lint types test  ## format, lint, types, layers, sizes, tests

lint: $(READY)
	$(RUN)ruff format --check .
	$(RUN)ruff check .

types: $(READY)
	$(RUN)mypy

format: $(READY)  ## put the code into shape
	$(RUN)ruff format .
	$(RUN)ruff check --fix-only .

setup: $(READY)  ## only set up

$(READY): requirements.lock.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here: install Python 3.11 or later, or name one: PYTHON=python3.12 make ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$$($(PYTHON) --version 2>&1) is too old: install Python 3.11 or later, or name one: PYTHON=python3.12 make ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv) or name another Python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(RUN)pip install --quiet --disable-pip-version-check -r requirements.lock.txt
	$(RUN)pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:  ## remove the environment, caches and the demo's results
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache build dist demo
