# Two commands do everything on a machine with Python 3.11 or newer, make and git: `make demo`, `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo phantoms studies systems bench faults overhead scale test lint lock clean

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

PHANTOMS := $(foreach truth,planted homogeneous,$(addprefix $(truth)-,$(shell seq 20))) $(addprefix benign-,$(shell seq 5))

phantoms: $(INSTALLED) ## verdicts on 45 phantoms of known truth, counted in docs/phantoms.md (half an hour on two idle cores)
	snakemake tables --cores all --configfile config/studies/phantoms.yaml
	python -m heteroscope.summary $(PHANTOMS) --page docs/phantoms.md --title "Verdicts on phantoms" --made-by "make phantoms" \
	    --about 'Generated photographs, 64 pixels wide, with a known truth. `planted`: two sites show the disease by different signs. `homogeneous`: one site, one sign. `benign`: two sites that look different, one sign. The clusters are those of a small network that every study trains on a fifth of its patients; sites are hidden from all.'

# $(call study,file,networks,trained): the studies of a file in config/studies; WEIGHTS=random needs no network to fetch
# weights from, neither for networks as they come nor for those that a study trains
comma := ,
study = snakemake --cores all --configfile config/studies/$(1).yaml --config data_root="$(DATA)" \
    $(if $(WEIGHTS),backbones='{$(foreach name,$(2),$(name): {weights: $(WEIGHTS)}$(comma))$(foreach name,$(3),$(name): {finetune: {initial: $(WEIGHTS)}}$(comma))}')

real_images = @[ -d "$(DATA)/odir5k" ] && [ -d "$(DATA)/nih-cxr" ] || \
    { echo 'make $@ DATA=FOLDER: name the folder that holds odir5k and nih-cxr' >&2; exit 2; }

studies: $(INSTALLED) ## the real studies, in docs/studies.md (an hour on two cores); DATA=folder of odir5k and nih-cxr, WEIGHTS=random without a network
	$(real_images)
	start=$$SECONDS; \
	$(call study,cataract-published,efficientnet-b0); \
	$(call study,cataract,efficientnet-b0); \
	$(call study,pneumonia,efficientnet-b0); \
	if [ -d "$(DATA)/nih-sample" ]; then $(call study,cardiomegaly-published,efficientnet-b0); fi; \
	$(call study,cataract-factors,efficientnet-b0 efficientnet-b0-flat); \
	python -m heteroscope.studies --factors config/studies/cataract-factors.yaml --page docs/studies.md \
	    --configs $(addprefix config/studies/,cataract-published.yaml cataract.yaml pneumonia.yaml cardiomegaly-published.yaml) \
	    --seconds $$((SECONDS - start)) --made-by "make studies DATA=…$(if $(WEIGHTS), WEIGHTS=$(WEIGHTS))"

systems: $(INSTALLED) ## the machinery of the four systems on real images, in docs/systems-on-real-images.md (20 minutes on two cores); DATA=… as for studies, WEIGHTS=random
	$(real_images)
	start=$$SECONDS; \
	$(call study,systems-on-real-images,resnet18 efficientnet-b0,densenet121-grey resnet50-grey resnet18-tuned); \
	python -m heteroscope.systems --config config/studies/systems-on-real-images.yaml --page docs/systems-on-real-images.md \
	    --seconds $$((SECONDS - start)) --made-by "make systems DATA=…$(if $(WEIGHTS), WEIGHTS=$(WEIGHTS))"

bench: $(INSTALLED) ## speed and memory against the plain way, in benchmarks/results.md (over half an hour; ONLY=embed,heads: these rows)
	python -m benchmarks $(if $(ONLY),--only $(ONLY))

calibrate: $(INSTALLED) ## how often the tests err, on simulated studies, in docs/calibration.md (hours; goes on where it was stopped; ONLY=null,power)
	python -m calibration $(if $(ONLY),--only $(ONLY))

faults: $(INSTALLED) ## kill jobs and whole runs 70 times and compare what a rerun leaves, in docs/reliability/faults.md (an hour; goes on where it was stopped)
	python -m reliability.kills

overhead: $(INSTALLED) ## what SLURM costs, in docs/reliability/overhead.md (root, and Debian's slurmctld, slurmd, slurm-client, munge; an idle machine)
	python -m reliability.overhead

scale: $(INSTALLED) ## plan and run 10,000 jobs with empty stages, read a million rows, in docs/reliability/scale.md (an hour; goes on where it was stopped; ONLY=plan,manifest)
	python -m reliability.scale $(if $(ONLY),--only $(ONLY))

test: $(INSTALLED) lint ## all checks and tests
	pytest --numprocesses 2 --dist loadfile  # a process a core; a file's tests share what they make

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
