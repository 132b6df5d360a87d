# make demo: watch the synthetic world, no camera needed.   make test: all tests.   make test-quick: unit tests, in a minute.
# make bench: what a frame costs.   make docs: the documentation as a site, in build/docs.   make wheel: the package, in dist.
# Each sets up .venv by itself, from nothing but Python 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# Workers take tests of another when they are done. All tests have two workers more than small machines have cores: many wait.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist worksteal

# A machine without a desktop may lack the system libraries of opencv-python's windows: then without windows.
define opencv-without-windows
$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps opencv-python-headless; }
endef

.PHONY: demo test test-quick check bench docs wheel clean

demo: .venv/ready
	$(BIN)/streamrec demo

test: .venv/ready-dev
	$(PYTEST) -n 4

test-quick: .venv/ready-dev
	$(PYTEST) -n 2 tests/unit streamrec

check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready-dev
	$(BIN)/streamrec bench --model synthetic --size 640x480 --threads 1
	$(BIN)/streamrec bench
	$(BIN)/python benchmarks/many.py
	$(BIN)/python benchmarks/peers.py

docs: .venv/ready-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: .venv/ready-dev
	rm -rf build/lib
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf .venv build dist *.egg-info demo-output

.DELETE_ON_ERROR:

.venv/bin/python:
	$(if $(PYTHON),,$(error streamrec needs Python 3.11 or newer, and no python3 is on the PATH))
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "streamrec needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # Debian: apt-get install python3-venv

.venv/ready: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(opencv-without-windows)
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(opencv-without-windows)
	touch $@
