# Entry points for contributors and CI; `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help setup demo check unit test parts coverage fuzz fuzz-worker kill attacks lives conformance soak load bench screenshots lint format docs docs-site man dist sbom sums sign install-test version image-name lock clean

PYTHON ?= python3
BIN := .venv/bin
# One more than there are cores, because tests also wait: for servers to start, and for clients.
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

# The one place that names the project's home and the image is pyproject.toml.
HOME_URL = $(shell sed -n 's/^Homepage = "\(.*\)"/\1/p' pyproject.toml)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' reconciler/__init__.py)
IMAGE ?= $(patsubst https://github.com/%,ghcr.io/%,$(HOME_URL)):$(VERSION)
IMAGE_EXTRAS := azure gcp metrics notify serve signatures
SBOM = PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject $(DIST)/pyproject.toml --mc-type application --output-reproducible
DIST ?= dist
PODMAN ?= podman
PODMAN_BUILD ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv with .venv/bin/r2mirror and the development tools, all pinned by hash

demo: .venv-demo/.installed ## Run the main workflow on a folder: plan, apply, an edit, a prune; SOURCE= mirrors other images
	@PYTHON="$(CURDIR)/.venv-demo/bin/python" PYTHONPATH="$(CURDIR)" SOURCE="$(SOURCE)" examples/demo.sh

check: lint unit ## Run the linters and the unit tests, which need no server: what to run before a commit

unit: .venv/.installed ## Run the unit tests; ARGS= goes to pytest, e.g. ARGS="tests/unit/mirrors -k newest"
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow and not rare" $(or $(ARGS),tests/unit)

test: parts ## Run the whole suite on real servers and clients; ARGS= goes to pytest
	$(BIN)/pytest -n $(WORKERS) -m "not rare" $(ARGS)

rare: parts ## Run the tests that take long and find what rarely breaks, which are not part of `make test`
	$(BIN)/pytest -n auto -m rare

parts: .parts/.installed ## Install the servers and clients that the tests run against, where they are missing

# Slow tests hold bounds of time, which measuring would stretch.
coverage: .venv/.installed ## Measure which lines the unit tests run, and fail below the floor in pyproject.toml
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n auto -m "not slow" tests/unit
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

fuzz: .venv/.installed ## Feed random input to every parser; INPUTS= sets how many, SEED= which, ONLY= a part of their names
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0) --only "$(ONLY)"

fuzz-worker: parts ## Ask the Worker and serve the same random questions, REQUESTS= (default: 100000) with and without logins; SEED= which
	$(BIN)/python -m tests.worker_fuzz --requests $(or $(REQUESTS),100000) --seed $(or $(SEED),0)
	$(BIN)/python -m tests.access_fuzz --requests $(or $(REQUESTS),100000) --seed $(or $(SEED),0)

kill: parts ## Kill real applies at random moments, KILLS= times for each store (default: 200)
	R2MIRROR_KILLS=$(or $(KILLS),200) $(BIN)/pytest -n 2 -rP tests/system/test_killed.py

attacks: .venv/.installed ## Stop an apply to a registry at each of its requests, and break each of its requests in 11 ways
	R2MIRROR_STOPS=1 $(BIN)/pytest -q -n 2 tests/system/target/test_attacks.py

lives: .venv/.installed ## Run random histories of a bucket, EXAMPLES= of them (default: 5000)
	R2MIRROR_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/system/test_machine.py

conformance: parts ## Run the OCI project's own suite against serve and the Worker; CONFORMANCE= is its program
	R2MIRROR_CONFORMANCE=$(abspath $(or $(CONFORMANCE),$(error CONFORMANCE= has to name the suite's program))) $(BIN)/pytest -q -rP tests/system/serve/test_suite.py

soak: .venv/.installed ## Watch 200 repositories of a registry that fails at random, for MINUTES= (default: 10) into STORE= (file or s3)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) --store $(or $(STORE),file)

load: parts ## Pull from the Worker with CLIENTS= at once (default: 200) for SECONDS= (default: 60): its heap and CPU time
	$(BIN)/python -m tests.load --clients $(or $(CLIENTS),200) --seconds $(or $(SECONDS),60)

bench: parts ## Measure against rclone and skopeo; ONLY= names scenarios, ROUNDS= repeats them (default: 3), WRITE= saves the tables in a file
	$(BIN)/python -m bench $(ONLY) --rounds $(or $(ROUNDS),3) $(addprefix --write ,$(WRITE))

image: ## Build the container image; BASE=, BUILD_BASE= and IMAGE= name others, PLATFORM= e.g. linux/arm64, WHEELS= a folder to install from
	$(PODMAN) build --file Containerfile --layers=false --tag "$(IMAGE)" $(PODMAN_BUILD) \
		--build-arg VERSION=$(VERSION) --build-arg HOME_URL=$(HOME_URL) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) \
		$(addprefix --platform ,$(PLATFORM)) $(addprefix --build-arg BASE=,$(BASE)) $(addprefix --build-arg BUILD_BASE=,$(BUILD_BASE)) \
		$(if $(WHEELS),--volume $(abspath $(WHEELS)):/wheels:ro --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels) .

image-test: parts .parts/image/wheels/.complete .parts/image/run.tar .parts/image/build.tar ## Build the image on bases of Debian's packages and use it
	R2MIRROR_IMAGE_PARTS=$(CURDIR)/.parts/image $(BIN)/pytest -rP tests/system/test_image.py

screenshots: parts ## Regenerate the screenshots in docs/
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

docs: .venv/.installed ## Regenerate the generated parts of README.md and docs/
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cog -r README.md docs/*.md

docs-site: .venv/.installed ## Build the site of the documentation into build/site, with every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

man: .venv/.installed ## Write the man pages into build/man, for a release or a package
	$(BIN)/python -m reconciler.cli.manual build/man

dist: .venv/.installed ## Build the wheel and the source archive into dist/, the same bytes from the same commit
	rm -rf $(DIST)
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation --outdir $(DIST)

sbom: .venv/.installed ## Write what the wheel and the image contain into dist/, in CycloneDX
	mkdir -p $(DIST)
	sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml > $(DIST)/pyproject.toml
	$(SBOM) --output-file $(DIST)/r2mirror-$(VERSION).cdx.json requirements/run.txt
	$(SBOM) --output-file $(DIST)/r2mirror-$(VERSION)-image.cdx.json requirements/image.txt
	rm $(DIST)/pyproject.toml

version image-name: ## Print the version, or the name of the image
	@echo $(if $(filter version,$@),$(VERSION),$(IMAGE))

sums: ## Write the checksums of dist/
	cd $(DIST) && sha256sum $$(ls | grep -v SHA256SUMS) > SHA256SUMS

sign: .venv/.installed ## Sign dist/ with the identity of the CI job that runs this, by Sigstore
	$(BIN)/sigstore sign --overwrite $$(ls $(DIST)/* | grep -v '\.sigstore\.json$$')

install-test: .venv/.installed ## Install in each way that the README shows, from a git server and an index on this machine
	R2MIRROR_INSTALL=1 $(BIN)/pytest -q -n 2 tests/system/test_release.py tests/system/test_github.py

lock: .venv/.installed ## Pin the newest versions of everything in requirements/
	$(COMPILE) --upgrade pyproject.toml --output-file requirements/run.txt
	$(COMPILE) --upgrade pyproject.toml --extra serve --output-file requirements/serve.txt
	$(COMPILE) --upgrade pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(COMPILE) --upgrade pyproject.toml $(addprefix --extra ,$(IMAGE_EXTRAS)) --output-file requirements/image.txt
	$(COMPILE) --upgrade --group build --output-file requirements/build.txt
	$(COMPILE) --upgrade --group node --output-file requirements/node.txt
	$(COMPILE) --upgrade --no-deps --group kubernetes --output-file requirements/kubernetes.txt

clean: ## Remove everything that make has created
	rm -rf .venv .venv-demo .parts .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python .venv-demo/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "r2mirror needs Python 3.11 or newer; name one, e.g. PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(@D:/bin=) || { rm -rf $(@D:/bin=) && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends python3-venv && $(PYTHON) -m venv $(@D:/bin=); }

.venv/.installed: .venv/bin/python requirements/dev.txt pyproject.toml
	@echo "Installing the development tools of requirements/dev.txt into .venv, about 750 MB."
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# Only what the program itself needs. Not compiled ahead of time, because the demo imports a part of it.
.venv-demo/.installed: .venv-demo/bin/python requirements/serve.txt
	@echo "Installing what r2mirror needs (requirements/serve.txt) into .venv-demo, about 80 MB."
	@.venv-demo/bin/python $(PIP_INSTALL) --no-compile --require-hashes -r requirements/serve.txt
	@touch $@

# For Python 3.13, which Debian trixie has, whatever runs here.
.parts/image/wheels/.complete: .venv/.installed requirements/image.txt requirements/build.txt
	mkdir -p $(@D)
	for file in image build; do $(BIN)/python -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
		--python-version 3.13 --platform manylinux2014_$$(uname -m) --platform manylinux_2_28_$$(uname -m) \
		--dest $(@D) -r requirements/$$file.txt || exit; done
	touch $@

.parts/image/run.tar .parts/image/build.tar: tests/parts/image_base.sh
	mkdir -p $(@D)
	$< $(@F:.tar=) $@

.parts/.installed: .venv/.installed tests/parts/install.sh requirements/node.txt requirements/kubernetes.txt $(wildcard tests/parts/r2_simulator/*.json)
	tests/parts/install.sh
