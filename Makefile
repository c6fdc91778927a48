# Environment, tests and the main table; everything else is `snakemake <file>` inside the environment.
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
PROCESSES ?= 2
# More for Snakemake, such as FLAGS='--resources gpu=1' or FLAGS='--config seeds=3'.
FLAGS ?=
# `dev,cluster` has the executors of clusters too.
EXTRAS ?= dev
BIN := $(VENV)/bin

.PHONY: environment table1 tables report test test-slurm test-faults lint schema clean

environment: $(VENV)/.ready

# Python compiles what is imported and keeps it; compiling all that is installed would take as long as installing it. Where it is
# told to keep nothing, as in many containers, every job would compile anew: all is compiled here once, but what is not for this
# version. The pip that comes with Python 3.11 takes half as long again as its successors.
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --upgrade pip
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	$(if $(PYTHONDONTWRITEBYTECODE),$(BIN)/python -m compileall -q -q -j 0 $(VENV)/lib flexpose_core || true)
	touch $@
	$(if $(findstring cluster,$(EXTRAS)),touch $(VENV)/.ready-cluster)

table1: environment
	$(BIN)/snakemake --cores $(CORES) $(FLAGS) -- results/table1.csv

# Tables 1-3, the baselines, the claims and the figures, as far as the configuration has them.
tables: environment
	$(BIN)/snakemake --cores $(CORES) $(FLAGS) -- tables

# One file that opens anywhere: every table and figure with its caption, options and run time.
report: environment
	$(BIN)/snakemake --cores $(CORES) $(FLAGS)
	$(BIN)/snakemake $(FLAGS) --report results/report.html

test: environment lint
	$(BIN)/pytest --numprocesses $(PROCESSES) --dist loadfile --durations 20

# A real Slurm of one node on this machine, and a run on it that is disturbed; Debian, as root.
test-slurm: $(VENV)/.ready-cluster
	$(BIN)/python tests/slurm/disturbed_run.py

$(VENV)/.ready-cluster: $(VENV)/.ready
	$(PIP_INSTALL) --editable '.[cluster]'
	touch $@

# Full and read-only disks, two Snakemakes at once, clocks; then jobs killed at random points of every stage: KILLS=100 for many.
# Each against an undisturbed run's bytes.
KILLS ?= 4
test-faults: environment
	$(BIN)/python tests/fault_run.py
	$(BIN)/python tests/kill_run.py --kills $(KILLS)

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python tools/lint_workflow.py
	$(BIN)/mypy

# config/schema.json states the option types for editors; a test compares.
schema: environment
	$(BIN)/python -m flexpose_core.options.config > config/schema.json

clean:
	rm -rf results .snakemake
