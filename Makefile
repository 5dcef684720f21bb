# One command each; everything is set up on the first call. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo lab test test-all quick bench matrix chaos simulate power pagebench screenshots deploy undeploy page lint setup clean

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
export EVENTLET_NO_GREENDNS := yes

help:   ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

demo: $(VENV)/ready   ## a real ZooKeeper ensemble, or a simulated one, and the three demos on it (OPTIONS="--step" is passed on)
	@$(PY) -m lab demo $(OPTIONS)

lab: $(VENV)/ready   ## an ensemble and five workers, the page on http://127.0.0.1:8080, until Ctrl-C
	@$(PY) -m lab up $(OPTIONS)

# Tests mostly wait (for sessions to run out, for servers to start): four files at a time, on two cores as well.
# Hundreds of processes import the same files: compiled once, also where PYTHONDONTWRITEBYTECODE is set.
TESTS = $(PY) -m compileall -q app lab proof tests docs *.py && $(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready-dev   ## the fast tests, on real servers: about six minutes on two quiet cores
	@$(TESTS) -m "not whole" $(PYTEST)

test-all: $(VENV)/ready-dev   ## every test, 15 to 20 minutes; without a Docker engine or Chromium it skips what needs them, and counts it
	@$(TESTS) $(PYTEST)

quick: $(VENV)/ready   ## the fast unit tests and the three demos, about two minutes
	@$(PY) -m pytest -q -n 2 -m "not whole" tests/unit
	@$(PY) -m lab demo

bench: $(VENV)/ready-dev   ## speed beside raw ZooKeeper calls, and its growth; table, bench-results/bench.json, bench.svg
	@$(PY) -m proof bench --into bench-results $(OPTIONS)

matrix: $(VENV)/ready   ## ten mechanisms, nine guarantees, measured under faults (OPTIONS="--html pages" draws them)
	@$(PY) -m proof matrix $(OPTIONS)

chaos: $(VENV)/ready   ## load and faults for two minutes, then: was anything lost? (OPTIONS="--minutes 5 --seed 7")
	@$(PY) -m proof chaos $(OPTIONS)

simulate: $(VENV)/ready   ## seed after seed on a simulated ensemble for a minute (OPTIONS="--world quorum --seconds 60")
	@$(PY) -m proof simulate $(OPTIONS)

power: $(VENV)/ready   ## mutants of the protocols: does make simulate convict each? (OPTIONS="--only quorum --seconds 30")
	@$(PY) -m proof power $(OPTIONS)

pagebench: $(VENV)/ready-dev   ## what the page costs: latency, processor time, and a browser's heap over 200 jobs
	@$(PY) -m lab run -- $(PY) -m proof.bench.page

screenshots: $(VENV)/ready-dev   ## the page in each of its states, into docs/screenshots (needs Chromium)
	@$(PY) -m lab run -- $(PY) -m docs.generate.screenshots

deploy: $(VENV)/ready   ## the image and everything it needs on minikube (OPTIONS=--small for an 8 GB laptop)
	@$(PY) -m lab deploy $(OPTIONS)

page: $(VENV)/ready   ## the page of the master on minikube, on http://localhost:8080, until Ctrl-C
	@$(PY) -m lab page $(OPTIONS)

undeploy: $(VENV)/ready   ## remove from minikube what deploy has put there
	@$(PY) -m lab undeploy $(OPTIONS)

lint: $(VENV)/ready-dev   ## ruff, mypy --strict, and who may import whom: about a minute
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

setup: $(VENV)/ready   ## a virtual environment in .venv with what requirements.txt names

# `python3 -m venv` is a package of its own on Debian: as root we install it, else we say so.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed ($(PYTHON) is not): install it, or name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "setup: installing python3-venv (Debian keeps it apart)"; \
	    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); \
	  else echo "Python's venv module is missing: sudo apt-get install python3-venv" >&2; exit 2; fi; }

$(VENV)/ready: requirements.txt | $(PY)
	@echo "setup: installing what requirements.txt names into $(VENV)"
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:   ## remove what make has made here (the virtual environment and caches)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
