# heritage: see README.md. Everything runs inside .venv; nothing is installed outside it, except Debian packages that the
# tests need (PostgreSQL, Redis, Chromium), and those only where apt and root are there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEED ?= 0
# each process starts its own servers; a file of tests stays in one process
PARALLEL ?= -n auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo up down stack stack-test test test-all check debian clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## .venv with pinned versions
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "heritage needs Python 3.11; call make PYTHON=/path/to/python3.11"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some minutes the first time)"
	@# torch first: otherwise pip may choose a newer build with several GB of CUDA libraries
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt $(TORCH_INDEX) torch==2.13.0
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[local,production,dev]'
	@touch $@

demo: $(STAMP) ## the main job end to end on a small family (SEED=n)
	@$(BIN)/heritage demo --seed $(SEED)

up: $(STAMP) ## keep S3, MLflow and Airflow running, with the demo's family loaded
	@$(BIN)/heritage up --demo

down: $(STAMP) ## stop what `make up` and `make stack` started
	@$(BIN)/heritage down
	@$(BIN)/python -m heritage.local.production down

stack: $(STAMP) debian ## the production stack of docker/ as processes of this machine; ends with `make down`
	@$(BIN)/python -m heritage.local.production up

stack-test: $(STAMP) debian ## the main job, a mapped one, outages and a restore on that stack
	@$(BIN)/python -m pytest tests/stack -m slow -s --durations=0

debian: ## PostgreSQL, Redis and Chromium for the tests, where they are missing
	@sh tests/debian.sh

test: $(STAMP) debian ## the checks and the test suite
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: $(STAMP) debian ## the suite with its slow tests
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest $(PARALLEL)

check: $(STAMP) ## lint, types, import direction
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

clean: down ## remove the environment and all local state
	@rm -rf $(VENV) .heritage
