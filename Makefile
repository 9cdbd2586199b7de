# Everything a newcomer or a pipeline calls; `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help setup demo test parts fuzz kill lives bench screenshots lint format docs lock clean

PYTHON ?= python3
BIN := .venv/bin
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv with .venv/bin/r2mirror and the development tools, all pinned by hash

demo: .venv/.installed ## Run the main job on a folder: plan, apply, an edit, a prune; SOURCE= takes other images
	PATH="$(CURDIR)/$(BIN):$$PATH" SOURCE="$(SOURCE)" examples/demo.sh

test: parts ## Run the whole suite on real servers and clients; ARGS= goes to pytest
	$(BIN)/pytest -n auto $(ARGS)

parts: .parts/.installed ## Install the servers and clients that the tests run against, where they are missing

fuzz: .venv/.installed ## Feed random input to everything that parses; INPUTS= and SEED= say how much and which
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0)

kill: parts ## Kill real applies at random moments, KILLS= times for each store (200 unless told)
	R2MIRROR_KILLS=$(or $(KILLS),200) $(BIN)/pytest -n 2 -rP tests/system/test_killed.py

lives: .venv/.installed ## Live random lives of a bucket, EXAMPLES= of them (5000 unless told)
	R2MIRROR_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/system/test_machine.py

bench: parts ## Measure against rclone and skopeo; ONLY= names scenarios, ROUNDS= how often (3), WRITE= a file for the tables
	$(BIN)/python -m bench $(ONLY) --rounds $(or $(ROUNDS),3) $(addprefix --write ,$(WRITE))

screenshots: parts ## Make the pictures of docs/ anew
	$(BIN)/python -m tests.screenshots

lint: .venv/.installed ## Check format, style, types, imports, dependencies and spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry reconciler
	$(BIN)/typos

format: .venv/.installed ## Format the code and repair what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.installed ## Write the generated parts of README.md and docs/ anew
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cog -r README.md docs/*.md

lock: ## Pin the newest versions of everything in requirements/ (needs uv)
	$(COMPILE) --upgrade pyproject.toml --output-file requirements/run.txt
	$(COMPILE) --upgrade pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(COMPILE) --upgrade --group node --output-file requirements/node.txt

clean: ## Remove everything that make has put here
	rm -rf .venv .parts .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "r2mirror needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends python3-venv && $(PYTHON) -m venv .venv; }

.venv/.installed: .venv/bin/python requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.parts/.installed: .venv/.installed tests/parts/install.sh requirements/node.txt $(wildcard tests/parts/r2_simulator/*.json)
	tests/parts/install.sh
