PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: venv demo test test-scale bench bench-scale kill fuzz clean

venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: venv
	$(BIN)/fedbert-eval privacy-utility --out runs/demo --workers 2

test: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-scale: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/evaluation/scale $(ONLY)

bench: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

bench-scale: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.scale

kill: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kills --times 100
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kills --times 100 --light --engine ray

fuzz: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --count 3000 --seed 0

clean:
	rm -rf $(VENV) runs dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
