# Every target makes its own virtual environment; a machine needs Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# pip compiles every package but an editable one; under PYTHONDONTWRITEBYTECODE each start would do it.
COMPILE = $(BIN)/python -m compileall -q src
export PYTHONHASHSEED = 0
# Where the rehearsal of the alert service is, which the demo, benchmarks, fuzzing and storm share.
export PYTHONPATH = $(CURDIR)/tools

.PHONY: help demo demo-alerts test check lint types floors docs bench fuzz mutate storm pins clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/.run: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(COMPILE)
	touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(COMPILE)
	touch $@ $(VENV)/.run

demo: $(VENV)/.run  ## simulate a campaign and run every stage on it, into demo/
	$(BIN)/spiir-pastro run --into demo

demo-alerts: $(VENV)/.dev  ## the alert service on loopback: broker, stand-in GraceDB, sample alerts, status page
	$(BIN)/python -m rehearsal demo/alerts

test: $(VENV)/.dev  ## run the tests and doctests
	$(BIN)/python -m pytest -n 2

check: lint types floors test docs  ## everything a change must pass

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

floors: $(VENV)/.dev  ## imports point down only
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## build the documentation with its notebooks, warnings are errors; run the tutorial
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	$(BIN)/python -m pytest -m slow tests/docs

bench: $(VENV)/.dev  ## run the benchmarks beside their peers, and renew their page in the docs
	$(BIN)/python benchmarks docs/explanation

SECONDS ?= 600
fuzz: $(VENV)/.dev  ## fuzz the XML reader and the alert parser, SECONDS=600 each
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python fuzz/run.py ligolw $(SECONDS)
	$(BIN)/python fuzz/run.py alerts $(SECONDS)

MODULES ?= spiir_pastro.models.*
mutate: $(VENV)/.dev  ## see which changes to the models no test notices, MODULES='spiir_pastro.models.distance.*'
	$(BIN)/python -m pip install --quiet mutmut
	$(BIN)/mutmut run '$(MODULES)'
	$(BIN)/mutmut results

COUNT ?= 100000
storm: $(VENV)/.dev  ## play schedules of faults in a simulated world against the alert service, COUNT=100000
	cd tests && PYTHONPATH=../tools $(abspath $(BIN))/python -m storm.run $(COUNT) --processes 2

clean:  ## remove what the targets made
	rm -rf $(VENV) docs/_build demo build dist mutants

pins:  ## renew the pinned versions of both requirements files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --upgrade --python-version 3.11 --universal \
	  --no-header --no-annotate --quiet --output-file build/dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra serve --constraint build/dev.txt --python-version 3.11 --universal \
	  --no-header --no-annotate --quiet --output-file build/run.txt
	(echo '# The package and its pinned dependencies; renew with make pins.'; echo '-e .'; cat build/run.txt) > requirements.txt
	(echo '# The above for developers: tests, peers, documentation.'; echo '-e .'; cat build/dev.txt) > requirements-dev.txt
