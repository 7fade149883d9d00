# Every target starts from a bare Python 3.11+: it makes .venv, installs what constraints.txt pins, and runs.

PYTHON      ?= python3
PYTEST_ARGS ?=
DEMO_OUT    ?= demo

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# What only a release needs is kept apart, so that it changes nothing that is tested.
TOOLS     := $(VENV)/tools
TOOL_PINS := cyclonedx-bom==7.5.0 twine==7.0.0 uv==0.13.9

# Two pytest workers with one thread each: more threads only fight for the cores.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg HF_HUB_OFFLINE=1
# The theme prints a banner about its successor on every build.
MKDOCS   := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

.DEFAULT_GOAL := help
# What was measured, on which machine, is told to its reader: make bench-micro NOTE='...' OUT=results.json
OUT   ?=
NOTE  ?=
PARTS ?=
MODEL ?= flux

.PHONY: help demo test takes-a-while browser check bench bench-full-size bench-micro matrix format docs docs-serve install hashes licences sbom \
  release-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Make cached and uncached images with the bundled model, and a report page
	$(BIN)/lesa demo --out $(DEMO_OUT)
	@echo
	@echo "The report is one self-contained page. Open it in a browser: $(DEMO_OUT)/report.html"

test: takes-a-while check browser ## Everything CI runs: check, then the tests (PYTEST_ARGS="-m 'not slow'" for less)
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

takes-a-while:
	@echo "The tests take ten to twenty-five minutes on two cores; PYTEST_ARGS=\"-m 'not slow'\" runs the fast ones."

browser: ## Make sure that there is a browser to test the report in; as root on Debian it is installed
	@tests/browser/install.sh

check: $(INSTALLED) ## Lint, formatting, types, import contracts, and a strict build of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS) build --strict --quiet

bench: $(INSTALLED) ## Run the reference benchmark, and rewrite the tables and plots of README.md and docs/reference/benchmarks.md
	$(BIN)/lesa bench benchmarks/configs/reference.yaml --selection --out benchmarks/results/reference-selection.json
	$(BIN)/lesa bench benchmarks/configs/reference.yaml --out benchmarks/results/reference.json
	$(BIN)/python -m benchmarks.front_page
	$(BIN)/python -m benchmarks.gallery_page

bench-micro: $(INSTALLED) ## Time what our own code costs against its floor, in two minutes (OUT=results.json; PARTS=filter)
	$(TEST_ENV) $(BIN)/python -m benchmarks.micro $(PARTS) $(if $(OUT),--out '$(OUT)') $(if $(NOTE),--note '$(NOTE)')

bench-full-size: $(INSTALLED) ## Time every method at full size, on a GPU of 40 or 60 GB (MODEL=flux, qwen_image or hunyuan_video)
	$(BIN)/python -m benchmarks.full_size $(MODEL) $(if $(OUT),--out '$(OUT)')

matrix: $(INSTALLED) ## Run the conformance suite on every supported model class, and write docs/reference/matrix.md
	$(TEST_ENV) $(BIN)/python -W ignore -m tests.matrix.page

format: $(INSTALLED) ## Format the code and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(INSTALLED) ## Build the documentation into site/
	$(MKDOCS) build --strict

docs-serve: $(INSTALLED) ## Serve the documentation on this machine while you write
	$(MKDOCS) serve

install: $(INSTALLED) ## Only make .venv and install into it

hashes: $(TOOLS) ## Write requirements-hashed.txt: constraints.txt with the sha256 of every file of each release
	{ echo "# Made by 'make hashes' from constraints.txt: every file of each release, for all platforms."; \
	  echo "# pip install --require-hashes -r requirements-hashed.txt"; \
	  $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    constraints.txt; } > requirements-hashed.txt.new
	mv requirements-hashed.txt.new requirements-hashed.txt

licences: $(INSTALLED) ## List the licences of all that a user installs; fails if one does not fit
	$(BIN)/python -m tests.release.licences

sbom: $(INSTALLED) $(TOOLS) ## Write dist/sbom.cdx.json: what a fresh installation with every extra has, as CycloneDX
	PYTHON='$(PYTHON)' tests/release/check.sh sbom

release-check: $(INSTALLED) $(TOOLS) ## Build sdists and wheels into dist/, check them, install them afresh, and run the first commands
	PYTHON='$(PYTHON)' tests/release/check.sh

clean: ## Remove what the other targets made, .venv included
	rm -rf $(VENV) build dist site demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(TOOLS): Makefile
	@$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet -c constraints.txt $(TOOL_PINS)
	@touch $@

# The build backend is installed first, pinned like everything else, and used without isolation: an isolated
# build would fetch an unpinned one. The stamp is made last, so an interrupted install starts over.
$(INSTALLED): pyproject.toml plugins/lesa_reference/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "LESA Framework needs Python 3.11 or newer; '$(PYTHON)' is older, or not there. ($$($(PYTHON) --version 2>&1))"; \
	  echo "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation \
	  --editable ".[all,bench,metrics,ui,dev,docs]" --editable plugins/lesa_reference
	@touch $@
