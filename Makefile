# lbcore: one command per wish.
#
#   make demo     build everything, send real traffic through the proxy, print the shares
#   make test     every test: C (plain, coverage, sanitizers, threads, fuzz) and Python
#
#   make setup    the virtual environment with lbcore in it, no more
#   make core     the C core and its tests alone; needs no Python headers
#   make lint     style, types, complexity, forbidden things
#   make bench    figures, and ratios against the peers
#   make fuzz     every fuzz target for SECONDS (600)
#   make soak     long property runs, 1,000 killed workers, long fuzzing, and a bare machine from nothing
#   make docs     the pages, into build/docs
#   make check    what a release needs: test, lint, docs, a wheel per Python
#   make clean    back to a fresh checkout
#
# Everything is written inside the checkout.  After its first run a command needs no network.
# PYTHON=python3.13 chooses an interpreter for a new environment; BUDGET=1 makes a slow step fail (.ci/budget.toml).

VENV := .venv
PY := $(VENV)/bin/python
STEP := sh tools/step.sh
JOBS ?= 2
SECONDS ?= 600

# What tools would write elsewhere goes here.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
export XDG_CACHE_HOME := $(CURDIR)/.cache
export TMPDIR := $(shell mkdir -p .cache/tmp)$(CURDIR)/.cache/tmp
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export CLICOLOR := 0
export JOBS

PICTURES := docs/policies/img
SOURCES := $(shell find src python -name __pycache__ -prune -o -print) CMakeLists.txt pyproject.toml

.PHONY: setup demo test core fuzz bench soak lint docs check clean prerequisites

setup: $(VENV)/lbcore.stamp

demo: $(VENV)/lbcore.stamp
	@$(STEP) -q demo $(PY) tools/demo.py

test: prerequisites
	@$(STEP) setup $(MAKE) --no-print-directory $(VENV)/lbcore.stamp
	@$(STEP) core sh tools/core.sh core
	@$(STEP) coverage sh tools/core.sh coverage
	@$(STEP) sanitizers sh tools/core.sh sanitizers
	@$(STEP) threads sh tools/core.sh threads
	@$(STEP) fuzz sh tools/fuzz.sh 10
	@$(STEP) -q pytest $(PY) -m pytest tests

core:
	@sh tools/core.sh core

fuzz: $(VENV)/lbcore.stamp
	@sh tools/fuzz.sh $(SECONDS)

bench: $(VENV)/lbcore.stamp $(VENV)/bench.stamp
	$(PY) -m pytest benches -o python_files='bench_*.py' --benchmark-json=build/pytest-benchmark.json
	$(PY) benches/ratios.py --json build/bench.json

soak: $(VENV)/lbcore.stamp
	LBCORE_EXAMPLES=5000 $(PY) -m pytest tests/property tests/test_aio.py
	LBCORE_RELOADS=10000 $(PY) -m pytest tests/test_reload.py
	LBCORE_SOAK=1 $(PY) -m pytest tests/test_shared.py
	LBCORE_SIGNALS=200 $(PY) -m pytest tests/test_scenarios.py tests/test_processes.py
	LBCORE_ROUTE_TABLES=100000 sh tools/core.sh core _route_flavor
	@sh tools/fuzz.sh $(SECONDS)
	sh tools/fresh_machine.sh

lint: $(VENV)/lbcore.stamp $(VENV)/lint.stamp
	@$(STEP) lint sh tools/lint.sh

docs: $(VENV)/lbcore.stamp $(VENV)/docs.stamp $(PICTURES)/made.stamp
	$(PY) -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "docs: build/docs/index.html"

check: test lint docs
	@$(STEP) wheels sh tools/wheels.sh

clean:
	rm -rf build dist $(VENV) .cache $(PICTURES)

# The pictures of the policies: a product of the build, beside the pages that show them.
$(PICTURES)/made.stamp: tools/pictures.py $(VENV)/lbcore.stamp $(VENV)/docs.stamp
	$(PY) tools/pictures.py $(PICTURES)
	@touch $@

# ---- the environment: one stamp for each thing installed into it -------------------------------------------------

prerequisites:
	@sh tools/prerequisites.sh >/dev/null

$(VENV)/made.stamp: | prerequisites
	@rm -rf $(VENV)
	"$$(sh tools/prerequisites.sh)" -m venv $(VENV)
	@touch $@

# install = the command that installs dependency groups and extras
install = $(PY) tools/requirements.py $(1) >$(VENV)/requirements.txt && \
	$(PY) -m pip install -q -r $(VENV)/requirements.txt

$(VENV)/test.stamp: $(VENV)/made.stamp pyproject.toml
	$(call install,build test extra:proxy extra:config extra:regex extra:dns extra:grpc)
	@touch $@

$(VENV)/lbcore.stamp: $(VENV)/test.stamp $(SOURCES)
	CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(PY) -m pip install -q --no-build-isolation --no-deps --no-index \
		--force-reinstall .
	@touch $@

$(VENV)/lint.stamp $(VENV)/bench.stamp $(VENV)/docs.stamp: $(VENV)/%.stamp: $(VENV)/made.stamp pyproject.toml
	$(call install,$*)
	@touch $@
