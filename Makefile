# Every target makes its own virtual environment in .venv once; stamps in .venv/ remember what is installed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# processes of the quick tests, one thread each
WORKERS ?= 2

# freed memory stays with the process (docs/performance.md), as it did when the tables were measured
KEPT := MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_MMAP_THRESHOLD_=2147483647

.PHONY: demo test slow ordeal mutants lint bench bench-gpu clean

demo: $(VENV)/.demo
	$(BIN)/energy compare experiment=demo out=runs/demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --ignore=tests/benchmarks --ignore=tests/ordeal

# kills, damage and hostile files; what was counted goes into SECURITY.md
ordeal: $(VENV)/.dev
	rm -f build/ordeal.json
	ENERGY_ORDEAL=$(CURDIR)/build/ordeal.json OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/ordeal -m slow -q
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.ordeal.summary build/ordeal.json SECURITY.md

mutants: $(VENV)/.dev
	$(BIN)/python tests/mutants.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(KEPT) $(BIN)/python -m pytest tests/benchmarks -m "not gpu" -q -s -p no:logging

bench-gpu: $(VENV)/.dev
	ENERGY_BENCH_PAIRS=$${ENERGY_BENCH_PAIRS:-10} ENERGY_BENCH_SECONDS=$${ENERGY_BENCH_SECONDS:-120} \
		$(BIN)/python -m pytest tests/benchmarks/test_gpu.py -m gpu -q -s -p no:logging

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[progress,plots]"
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[progress,plots,dev]"
	touch $@ $(VENV)/.demo
