# Two commands do everything on a machine with python3 >= 3.11, git and make: `make demo` and `make test`.
#
# On Linux x86_64, pip takes the CUDA build of torch by default, which is gigabytes. For the CPU build, give the index
# address that pytorch.org's "Get started" page shows for "Pip, CPU":  make demo TORCH_INDEX=<that address>

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all lint docs clean

demo: $(VENV)/.demo
	$(VENV)/bin/nightlab demo $(if $(N),--experiments $(N)) $(ARGS)

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.dev
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.dev
	$(VENV)/bin/python docs/generate.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Nightlab needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	@git --version | $(PYTHON) -c 'import re, sys; v = re.search(r"(\d+)\.(\d+)", sys.stdin.read()); \
		sys.exit(v is None or tuple(map(int, v.groups())) < (2, 38))' || \
		{ echo "Nightlab needs git 2.38 or newer"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@echo "Installing (once; torch is the large part) ..."
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(PIP) -e '.[runner]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.demo
	$(PIP) -e '.[runner,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .nightlab .pytest_cache .mypy_cache .ruff_cache
