# Two commands for a fresh machine that has Python 3.11 or newer, make and pip:
#   make demo    installs into .venv, trains on the bundled digits, shows a few predictions
#   make test    installs the development tools too and runs everything: lint, types, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test coverage mutation oldest bench fuzz torture fuzz-atheris oracle oracle-live lock clean

demo: $(VENV)/.installed
	$(BIN)/numlp train digits --out $(VENV)/digits.safetensors
	$(BIN)/python examples/show_predictions.py $(VENV)/digits.safetensors

test: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

# the whole suite with all that is exhaustive, at least 95 % of the branches; what loads, saves and validates, all of them
coverage: $(VENV)/.installed-dev
	NUMLP_TESTS=all PATH="$(CURDIR)/$(BIN):$$PATH" scripts/coverage

# what loads, saves and validates, broken in thousands of small ways; the tests must notice 80 %
mutation: $(VENV)/.installed-dev
	$(PIP) -e '.[mutation]'
	NUMLP_TESTS=all PATH="$(CURDIR)/$(BIN):$$PATH" scripts/mutation

# the estimators with the oldest scikit-learn that pyproject.toml allows, in an environment of its own
oldest: .venv-oldest/.installed
	.venv-oldest/bin/python -m pytest -q tests/estimators

.venv-oldest/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-oldest
	grep -v '^scikit-learn==' constraints.txt > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-oldest/constraints.txt \
	  -e '.[test]' 'scikit-learn==1.6.*'
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "numlp needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.installed

# numlp against PyTorch, JAX, TensorFlow, scikit-learn and onnxruntime, each in an environment of its own; MNIST is
# fetched into dataset/ unless NUMLP_DATA names a folder that has it
PEERS := torch jax tf sk

bench: $(VENV)/.installed-dev $(PEERS:%=.venv-peers/%/.installed)
	NUMLP_DATA="$${NUMLP_DATA:-dataset}" $(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.predict
	NUMLP_DATA="$${NUMLP_DATA:-dataset}" $(BIN)/python -m benchmarks.mnist

.venv-peers/%/.installed: benchmarks/requirements/%.txt
	$(PYTHON) -m venv .venv-peers/$*
	.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# hostile files at the nightly size, or `make fuzz SIZE=release`: mutants of every kind, bombs, downloads killed on the way
SIZE ?= nightly
fuzz: $(VENV)/.installed-dev
	NUMLP_FUZZ=$(SIZE) $(BIN)/python -m pytest -p no:randomly tests/fuzz tests/data/test_download.py

# trainings killed, crashed, interrupted and without room at the nightly size, or `make torture SIZE=release`
torture: $(VENV)/.installed-dev
	NUMLP_TORTURE=$(SIZE) $(BIN)/python -m pytest -p no:randomly tests/torture tests/test_checkpointer.py

# the same checks by atheris, which needs a wheel for this Python: make fuzz-atheris KIND=model SECONDS=3600
KIND ?= idx
SECONDS ?= 600
fuzz-atheris: $(VENV)/.installed-dev
	$(PIP) -e '.[fuzz]'
	PYTHONPATH=tests $(BIN)/python tests/fuzz/harness.py $(KIND) -max_total_time=$(SECONDS) -rss_limit_mb=1024

# the stored PyTorch numbers that the tests compare with; needs an interpreter that has torch==2.13.0 and safetensors
oracle:
	$(PYTHON) tests/oracle/make.py

# PyTorch itself, in an environment of its own, computes them again and compares
oracle-live: .venv-torch/.installed
	.venv-torch/bin/python tests/oracle/make.py --check

.venv-torch/.installed: constraints.txt
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 numpy safetensors
	touch $@

# write the versions now installed for development into constraints.txt
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) .venv-torch .venv-peers .venv-oldest .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants .coverage*
