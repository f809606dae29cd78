# `make help` lists the targets. Each sets up what it needs in .venv by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# `make demo`: small enough for two CPU cores, large enough to learn the phantom.
DEMO_DIR ?= demo
DEMO_EPOCHS ?= 12
DEMO_IMAGE_SIZE ?= 64
DEMO_FLAGS ?=
DEMO_RUN := $(DEMO_DIR)/runs/phantom/synergynet-8s2h/seed0

# `make bench`: PEERS_PIP takes pip's flags for CPU wheels, benchmarks/requirements.txt
# says which; BENCH_FLAGS those of `python -m benchmarks`.
PEERS := .venv-peers
PEERS_PIP ?=
BENCH_FLAGS ?=

# `make test`: how many processes run the tests, each with 1 to 2 GB of memory.
TEST_PROCESSES ?= 2

NEUTRAL_TESTS := tests/layers tests/models tests/training tests/test_losses.py \
  $(addprefix tests/evaluation/,codes/test_ablations.py codes/test_model.py figures/test_gradcam.py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-jax fuzz docs bench check fix

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/runtime.stamp ## Train on generated images, evaluate and export: minutes.
	$(BIN)/python train.py --dataset phantom --encoder-weights none --force \
	  --image-size $(DEMO_IMAGE_SIZE) --num-codes 128 --hidden-dim 128 \
	  --epochs $(DEMO_EPOCHS) --runs $(DEMO_DIR)/runs $(DEMO_FLAGS)
	$(BIN)/python evaluate.py --runs $(DEMO_DIR)/runs
	$(BIN)/python -m export.saved_model \
	  --run $(DEMO_RUN) --out $(DEMO_DIR)/export
	@echo
	@echo "Scores:   $(DEMO_RUN)/metrics.json"
	@echo "Overlays: $(DEMO_RUN)/overlays/ (best, median and worst case)"
	@echo "Model:    $(DEMO_DIR)/export/ (serve it with TensorFlow Serving)"

test: $(VENV)/dev.stamp ## Run the tests but the slow ones.
	$(BIN)/python -m pytest -m "not slow" -n $(TEST_PROCESSES) --dist loadfile

test-all: $(VENV)/dev.stamp ## Run every test.
	$(BIN)/python -m pytest

test-jax: $(VENV)/dev.stamp ## Run the tests of the model and its training on JAX.
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m "not slow" $(NEUTRAL_TESTS)

docs: $(VENV)/docs.stamp ## Build the documentation site into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fuzz: $(VENV)/dev.stamp ## Read hundreds of mutated files with every reader: ten minutes.
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile=deep

bench: $(VENV)/dev.stamp $(PEERS)/peers.stamp ## Measure speed, beside PyTorch: 10 minutes.
	$(BIN)/python -m benchmarks --peer-python $(PEERS)/bin/python $(BENCH_FLAGS)

# The tests are not part of it: .ci/run calls `make check` and then `make test`.
check: $(VENV)/dev.stamp ## Check formatting, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(VENV)/dev.stamp ## Format, and repair what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: Python 3.10 to 3.13 is needed; name one: make PYTHON=/path/to/python3"; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "Installing requirements-dev.txt into $(VENV) (once; some minutes)"
	@$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@ $(VENV)/runtime.stamp

$(VENV)/docs.stamp: pyproject.toml $(VENV)/runtime.stamp
	@echo "Installing the documentation's tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet -e ".[docs]"
	@touch $@

$(PEERS)/peers.stamp: benchmarks/requirements.txt | $(BIN)/python
	@echo "Installing benchmarks/requirements.txt into $(PEERS) (once; some minutes)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet $(PEERS_PIP) -r $<
	@$(PEERS)/bin/python -c "import segmentation_models_pytorch"
	@touch $@
