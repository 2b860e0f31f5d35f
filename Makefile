# The two commands of the README: make run, make test. Each makes .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without a GPU, the pinned release has a CPU build; the newest one would bring gigabytes of CUDA.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo torch || echo torch==2.13.0)
SEED ?= 0
ALGORITHMS ?= frozen,random,persistence,oracle,lifelong-*,extrapolative-*

.PHONY: run test lint docs reference clean

run: $(VENV)/.installed
	$(BIN)/progressgym run --challenge follow --algorithm frozen,lifelong-dpo \
	    --models smollm2 --preset quick --seed $(SEED) --out results --resume
	$(BIN)/progressgym report results
	@echo
	@echo "Try next:"
	@echo "  $(BIN)/progressgym list                              what there is"
	@echo "  $(BIN)/progressgym run --algorithm lifelong-dpo,oracle --seed 0,1,2 --set answers=graded --out graded"
	@echo "  $(BIN)/progressgym evaluate C013,C020                values of two centuries"

test: $(VENV)/.installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The manual, as a web site in build/manual.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/manual

# The results that everybody compares with: about 10 hours on one core, half on two.
reference: $(VENV)/.installed-dev
	$(BIN)/progressgym run --challenge follow,predict,coevolve \
	    --algorithm '$(ALGORITHMS)' --seed 0,1,2 --preset standard --ray local --resume --out reference
	$(BIN)/progressgym leaderboard pack reference --to leaderboard/reference

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "ProgressGym needs Python 3.11 or newer; set PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$(TORCH)"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
