# Everything that a newcomer needs: make quickstart, make test, make fuzz, make lint.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA_PACKAGE := dataset-fashion-mnist
DATA_FOLDER := /usr/share/datasets/fashion-mnist
BROWSER_PACKAGES := chromium chromium-driver
ROOT := $(shell [ "$$(id -u)" = 0 ] && echo root)

.PHONY: quickstart test test-fast fuzz lint data browser clean

quickstart: $(VENV)/installed data
	$(BIN)/sc2bench suite run quickstart

test: $(VENV)/installed-test data browser
	$(BIN)/python -m pytest -n logical --dist worksteal

# What needs no more than a second a test, while one works on the code.
test-fast: $(VENV)/installed-test data browser
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not slow"

# For longer: make fuzz COUNT=1000000 SEED=7
COUNT := 20000
SEED := 0
fuzz: $(VENV)/installed-test
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
ifeq ($(ROOT),root)
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || (apt-get update -q && apt-get install -qy python3-venv)
else
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "install python3-venv first: sudo apt install python3-venv"; exit 1; }
endif
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install --disable-pip-version-check -q -e .
	touch $@

$(VENV)/installed-test: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install --disable-pip-version-check -q -e '.[test]'
	touch $@ $(VENV)/installed

# As root from Debian's package; else the package itself looks elsewhere and downloads what it does not find.
data:
	@[ -d $(DATA_FOLDER) ] || [ -n "$$SC2BENCH_FASHION_MNIST" ] || [ "$(ROOT)" != root ] \
	  || ! command -v apt-get >/dev/null \
	  || (apt-get update -q && apt-get install -qy $(DATA_PACKAGE))

# For the test of the page of a report.
browser:
ifeq ($(ROOT),root)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null \
	  || (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(BROWSER_PACKAGES))
else
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null \
	  || { echo "install chromium first: sudo apt install $(BROWSER_PACKAGES)"; exit 1; }
endif

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis results/quickstart
