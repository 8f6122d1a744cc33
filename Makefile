# Every target makes its own virtual environment in .venv once; stamps in .venv/ remember what is installed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# processes of the quick tests, one thread each
WORKERS ?= 2

# environments of `make lowest` and `make python VERSION=3.13`
LOWEST ?= .venv-lowest
VERSION ?= 3.13
TORCH ?=
TESTS ?=
with_torch = $(if $(TORCH),sed "s/^torch==.*/torch==$(TORCH)/",cat)

# freed memory stays with the process (docs/performance.md), as it did when the tables were measured
KEPT := MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_MMAP_THRESHOLD_=2147483647

.PHONY: demo test slow ordeal mutants lint docs docs-pictures bench bench-gpu lowest python wheel api clean

demo: $(VENV)/.demo
	$(BIN)/energy compare experiment=demo out=runs/demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --ignore=tests/benchmarks --ignore=tests/ordeal

# kills, damage, hostile files and ten minutes of fuzzing, about an hour; what was counted goes into SECURITY.md
ordeal: $(VENV)/.dev
	rm -f build/ordeal.json
	ENERGY_ORDEAL=$(CURDIR)/build/ordeal.json ENERGY_ORDEAL_SECONDS=$${ENERGY_ORDEAL_SECONDS:-600} OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest tests/ordeal -m slow -q
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.ordeal.summary build/ordeal.json SECURITY.md

# PART=2/6 judges the second of six parts
mutants: $(VENV)/.dev
	$(BIN)/python tests/mutants.py $(if $(PART),--part $(PART))

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# build/site/index.html; warnings are errors. Notebooks run again when they or the library change.
docs: $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.site.stage build/pages build/notebooks
	$(BIN)/sphinx-build -q -W --keep-going -n -j auto -c docs/site build/pages build/site

# photographs of the built site, wide and narrow, light and dark, in build/pictures; needs Chromium
docs-pictures: docs
	$(BIN)/python -m docs.site.photographs build/site build/pictures

bench: $(VENV)/.dev
	$(KEPT) $(BIN)/python -m pytest tests/benchmarks -m "not gpu" -q -s -p no:logging

bench-gpu: $(VENV)/.dev
	ENERGY_BENCH_PAIRS=$${ENERGY_BENCH_PAIRS:-10} ENERGY_BENCH_SECONDS=$${ENERGY_BENCH_SECONDS:-120} \
		$(BIN)/python -m pytest tests/benchmarks/test_gpu.py -m gpu -q -s -p no:logging

# The quick tests in a fresh environment: with the lowest versions that are allowed, and with another Python.
# pip finds a CPU build of torch where PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL leads; elsewhere it brings gigabytes of
# CUDA. Where there is none of the version, TORCH=2.13.0 takes another one. TESTS="tests/relax tests/rules" runs a part.
lowest: $(LOWEST)/.dev
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

python: .venv-$(VERSION)/.dev
	OMP_NUM_THREADS=1 .venv-$(VERSION)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

# both distributions in dist/, the wheel in an environment that has nothing else, and the demo there
wheel: $(VENV)/.made
	rm -rf dist build/wheel
	$(PIP) build setuptools
	$(BIN)/python -m build --no-isolation --outdir dist
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet -c constraints.txt "$$(ls dist/*.whl)[progress,plots]"
	cd build/wheel && bin/energy compare experiment=demo out=demo

api: $(VENV)/.dev
	$(BIN)/python -m tests.packaging.api

clean:
	rm -rf $(VENV) $(LOWEST) .venv-3.* build dist *.egg-info

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[progress,plots]"
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[progress,plots,dev]"
	touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[plots,docs]"
	touch $@

$(LOWEST)/.dev: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(with_torch) constraints-lowest.txt > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet -c $(LOWEST)/constraints.txt -e ".[progress,plots,dev]"
	touch $@

.venv-%/.dev: pyproject.toml constraints.txt
	python$* -m venv .venv-$*
	$(with_torch) constraints.txt > .venv-$*/constraints.txt
	.venv-$*/bin/python -m pip install --quiet -c .venv-$*/constraints.txt -e ".[progress,plots,dev]"
	touch $@
