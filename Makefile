# Every target does its own set-up: a virtual environment in .venv/, the project and what it needs inside it, and, where
# Debian packages may be installed, the software Vulkan driver. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
EXTRAS := test
INSTALLED := $(VENV)/.installed
VULKAN := $(VENV)/.vulkan
# with flags the page is not written: it shows a whole run
BENCH_FLAGS ?=
# tests wait for compilers and devices in other processes: three for two processors; by file, since the tests of a file
# share the modules that they compile
PROCESSES := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
PYTEST_FLAGS ?= --numprocesses=$(PROCESSES) --dist=loadfile -m "not slow"

.PHONY: help setup demo test test-all lint format pytest versions bench docs site wheel clean

help:  ## What can be made
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) \
	  | while IFS='|' read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done

setup: $(INSTALLED) $(VULKAN)  ## Only the set-up that the others do by themselves

demo: setup  ## A real model: kernels put in, run on real files, compared and timed
	@$(BIN)/python samples/magika/demo.py

test: lint pytest  ## Lint, types, and all tests but the slow ones

test-all: PYTEST_FLAGS := --numprocesses=$(PROCESSES) --dist=loadfile
test-all: lint pytest  ## Lint, types, and all tests

lint: setup  ## Style, format and types
	@echo "== ruff check"
	@$(BIN)/ruff check .
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "== mypy --strict"
	@$(BIN)/mypy

pytest: setup  ## All tests but the slow ones, without lint (PYTEST_FLAGS=… is passed on)
	@echo "== pytest"
	@$(BIN)/python -m pytest $(PYTEST_FLAGS)

format: setup  ## Rewrites the sources in the one format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

versions: setup  ## All tests on every version of IREE that the project works with
	@$(BIN)/nox --noxfile runtime_tests/noxfile.py

bench: setup  ## The project's figures, measured on this machine and written to docs/benchmarks.md (BENCH_FLAGS=… is passed on)
	@$(BIN)/python -m substitute.bench $(if $(findstring --,$(BENCH_FLAGS)),,--report docs/benchmarks.md) $(BENCH_FLAGS)

docs: setup  ## The generated pages of docs/
	@$(BIN)/python -m substitute.catalog.reference > docs/manifest.md.new && mv docs/manifest.md.new docs/manifest.md
	@$(BIN)/python -m runtime_tests.operation_matrix > docs/operations.md.new && mv docs/operations.md.new docs/operations.md
	@$(BIN)/python -m runtime_tests.messages > docs/messages.md.new && mv docs/messages.md.new docs/messages.md

site: setup docs  ## The documentation as a site, in build/site/ (needs the extra `docs`, which is installed)
	@$(BIN)/python -c 'import material' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml
	@echo "wrote build/site/index.html and build/site/llms.txt"

wheel: setup  ## The package as a wheel, in dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## Removes the virtual environment and every cache
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# lint before pytest, so that the tests' closing line is the last one
pytest: | $(if $(filter test test-all,$(MAKECMDGOALS)),lint)

$(BIN)/python:
	@python=$$(for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then command -v $$name; break; fi; done); \
	if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or newer was found (looked for python3 and python3.11 to python3.14 on PATH)." >&2; \
	    echo "  found: $$(python3 --version 2>&1 || true)" >&2; \
	    echo "  next:  on Debian 12 or newer: apt-get install python3 python3-venv; then make again" >&2; \
	    exit 1; \
	fi; \
	echo "== $(VENV): $$($$python --version) ($$python)"; \
	if ! "$$python" -m venv $(VENV) >$(VENV).log 2>&1; then \
	    cat $(VENV).log >&2; rm -rf $(VENV) $(VENV).log; \
	    echo "  next:  on Debian: apt-get install python3-venv; then make again" >&2; \
	    exit 1; \
	fi; \
	rm -f $(VENV).log

# the stamp is written last, so an interrupted installation is taken up again
$(INSTALLED): pyproject.toml | $(BIN)/python
	@echo "== installing the project and what it needs into $(VENV) (some 500 MB the first time)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@$(BIN)/python -m compileall -q substitute  # as pip does for other packages: half of the filter's start without it
	@touch $@

# without the driver everything works but what runs on Vulkan, so a failure here stops nothing
$(VULKAN): | $(BIN)/python
	@loader() { /sbin/ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }; \
	drivers() { compgen -G '/usr/share/vulkan/icd.d/*.json' || compgen -G '/etc/vulkan/icd.d/*.json'; }; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo -n "$$@"; fi; }; \
	apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$$@"; }; \
	packages="mesa-vulkan-drivers libvulkan1"; \
	if loader && drivers >/dev/null; then touch $@; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then why="there is no apt-get here"; \
	elif ! as_root true 2>/dev/null; then why="that needs root, or sudo without a password"; \
	else \
	    echo "== installing the software Vulkan driver ($$packages)"; \
	    if install="$$(apt install --yes --no-install-recommends $$packages 2>&1)" \
	        || { apt update >/dev/null 2>&1 || true; \
	             install="$$(apt install --yes --no-install-recommends $$packages 2>&1)"; }; \
	    then touch $@; exit 0; fi; \
	    why="apt-get failed: $$(tail -n 1 <<<"$$install")"; \
	fi; \
	echo "== left out: the software Vulkan driver ($$packages): $$why; what runs on Vulkan is skipped"
