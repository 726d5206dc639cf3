# Two commands do everything on a machine with Python 3.11 or newer, make and git: `make demo`, `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo phantoms bench test lint lock clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# rules and recipes find the environment's own programs, and compiled bytecode is kept: it halves a job's start
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH

# an environment that was moved, or whose Python is gone, is made anew
ifneq ($(shell $(BIN)/python -c "import sys; print(sys.prefix)" 2>/dev/null),$(shell cat $(INSTALLED) 2>/dev/null))
$(shell rm -f $(INSTALLED))
endif

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 14

demo: $(INSTALLED) ## run the two demonstration studies and say where their reports are
	snakemake --cores all
	@python -m heteroscope.summary planted benign

PHANTOMS := $(foreach truth,homogeneous benign planted,$(foreach seed,1 2 3 4 5,$(truth)-$(seed)))

phantoms: $(INSTALLED) ## fifteen further phantoms, five seeds of each truth; their verdicts in docs/phantoms.md (half an hour)
	snakemake --cores all --configfile config/studies/phantoms.yaml
	python -m heteroscope.summary $(PHANTOMS) --page docs/phantoms.md --title "Verdicts on fifteen further phantoms" \
	    --made-by "make phantoms"

bench: $(INSTALLED) ## speed and memory against the plain way, in benchmarks/results.md (over half an hour; ONLY=embed,heads: these rows)
	python -m benchmarks $(if $(ONLY),--only $(ONLY))

test: $(INSTALLED) lint ## all checks and tests
	pytest

lint: $(INSTALLED) ## formatting, types and the workflow's own lint
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

lock: $(INSTALLED) ## pin the newest allowed versions of all dependencies
	uv pip compile pyproject.toml --extra dev --generate-hashes --universal --no-header --no-annotate --upgrade \
	    --output-file requirements.lock --quiet

clean: ## remove the environment, caches and all results
	rm -rf .venv .snakemake .mypy_cache .ruff_cache .hypothesis
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

# pip brings uv, pinned and hashed by the same lock, and uv brings all else, several times faster than pip would.
# The mark is written last: an environment without it was interrupted.
$(INSTALLED): requirements.lock pyproject.toml
	@echo "Making the environment in .venv …"
	@rm -rf .venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "heteroscope needs Python 3.11 or newer: make PYTHON=…")'
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q workflow
	@$(BIN)/python -c 'import sys; print(sys.prefix)' > $@
