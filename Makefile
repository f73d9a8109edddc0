# Everything lives in .venv, which the first target that needs it sets up. Other Python, other torch (a CUDA build, say):
#   make setup PYTHON=python3.12 TORCH="torch==2.13.0 --index-url ..."
PYTHON ?= python3
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SLICER := $(VENV)/.slicer
export PYTHON TORCH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint bench campaign evidence clean FORCE

help:  ## list the targets
	@echo "Targets of make (each sets up what it needs):"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## install InvDetect and its tools into .venv (PYTHON=python3 TORCH=torch==2.13.0)

# The mark tells what was asked for, so that another PYTHON or TORCH installs anew.
ifneq ($(shell cat $(READY) 2>/dev/null),$(PYTHON) $(TORCH))
$(READY): FORCE
endif

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "InvDetect needs Python 3.10 to 3.13, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1 | tail -n 1)." >&2; \
	  echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@[ "$$($(BIN)/python -V 2>/dev/null)" = "$$($(PYTHON) -V)" ] || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install $$TORCH
	$(BIN)/python -m pip install -e ".[maxflow,test,lint]"
	@printf '%s\n' "$$PYTHON $$TORCH" > $@

demo: $(READY)  ## train on made scans, detect in others, draw a picture (into demo/)
	@$(BIN)/invdetect demo -o demo

# What only some tests need: Slicer's classes and Qt, Dask, DICOM's network, weights of ImageNet, and the validator of BIDS. Where pip has none of them those
# tests skip, and say so.
$(SLICER): $(READY)
	@$(BIN)/python -m pip install -q -e ".[cluster,dicom,evidence]" || echo "Tests of clusters, archives and peers will be skipped." >&2
	@$(BIN)/python -m pip install -q "bids-validator-deno>=3" || echo "Tests of BIDS derivatives will be skipped." >&2
	@$(BIN)/python -m pip install -q -e ".[slicer]" && touch $@ || \
	  echo "Slicer's classes or Qt could not be installed: the tests that need them will be skipped." >&2

test: $(SLICER)  ## run all tests
	@$(BIN)/python -m pytest Testing

lint: $(READY)  ## check style and types
	$(BIN)/ruff check InvDetectLib InvDetect Testing
	$(BIN)/mypy

bench: $(READY)  ## print speed and memory, one benchmark after the other
	@$(BIN)/python -m pip install -q -e ".[bench]"
	@for file in Testing/benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done
	@$(BIN)/python -m Testing.benchmarks.inversion

campaign: $(READY)  ## kill, damage and starve InvDetect by chance for MINUTES=20 (SEED=0; failures are kept in campaign-out/)
	@$(BIN)/python -m Testing.campaign --minutes $(or $(MINUTES),20) --seed $(or $(SEED),0)

evidence: $(READY)  ## the study on real scans: SETTING=flair, fundus, t1 or stroke, SIZE=full or small (Testing/evidence/README.md)
	@$(BIN)/python -m pip install -q -e ".[evidence]"
	@$(BIN)/python -m Testing.evidence $(SETTING) --size $(or $(SIZE),full)

clean:  ## remove .venv, the demo's output and everything built
	rm -rf $(VENV) demo campaign-out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find InvDetectLib InvDetect Testing -name __pycache__ -type d -prune -exec rm -rf {} +
