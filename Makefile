# make demo    real video through camera, processor and detector; says where the pictures are
# make test    ruff, mypy --strict, pytest
# make bench   this dora against dora-rs 1.1.0 on the same node files
# make microbench  what encode, send, receive and decode cost (pytest-benchmark)
# make bench-record  what recording costs, and reading a recording back
# make test-viewers  recordings opened by Foxglove's and Rerun's own libraries (200 MB of packages)
# make stress  the contract, property and kill tests twenty times over
# make test-faults  every fault of docs/reliability.md at full length, and a table of figures (10 min)
# make test-web  the web page in a real browser (needs chromium: apt-get install chromium)
# make clean   remove what these made
#
# Needs Python 3.11 or newer with venv and pip, and a package registry; another Python: make PYTHON=...

PYTHON ?= python3
VENV := .venv
RIVAL := .venv-dora-rs
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check
VISION := examples/vision
TEST_JOBS ?= 2
STRESS_ROUNDS ?= 20
STRESS_TESTS ?= $(wildcard tests/wire tests/transport tests/node tests/daemon tests/faults)
BENCH_ARGS ?=
RECORD_ARGS ?=

.PHONY: demo test test-faults test-viewers test-web assets lint bench bench-record microbench stress clean
.DELETE_ON_ERROR:

demo: assets
	$(BIN)/dora run $(VISION)/dataflow.yml

test: lint assets
	DORA_TEST_ASSETS=required $(BIN)/python -m pytest --numprocesses $(TEST_JOBS) --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

assets: $(VENV)/.vision
	@$(BIN)/python $(VISION)/fetch_assets.py
	@$(BIN)/python examples/robot/fetch_assets.py

bench: $(VENV)/.base $(RIVAL)/.base
	$(BIN)/python bench/limits.py
	$(BIN)/python bench/bench.py --dora dora-py=$(abspath $(VENV)) --dora dora-rs=$(abspath $(RIVAL)) \
		--json bench/results.json $(BENCH_ARGS)
	$(BIN)/python bench/loan.py
	$(BIN)/python bench/table.py

microbench: $(VENV)/.dev
	$(BIN)/python -m pytest -q --benchmark-columns=min,median,ops --benchmark-sort=name bench/test_hot_path.py

bench-record: $(VENV)/.dev
	$(BIN)/python bench/record.py $(RECORD_ARGS)

test-viewers: $(VENV)/.viewers
	$(BIN)/python -m pytest -q tests/recording/test_viewers.py

stress: $(VENV)/.dev
	for round in $$(seq $(STRESS_ROUNDS)); do \
		echo "round $$round of $(STRESS_ROUNDS)"; \
		$(BIN)/python -m pytest -q -p no:cacheprovider -n $(TEST_JOBS) --dist loadfile $(STRESS_TESTS) || exit 1; \
	done
	@echo "the long version: 10^5 messages, 16 receivers, 100 MB"
	DORA_TEST_STRESS=1 $(BIN)/python -m pytest -q -p no:cacheprovider tests/transport

test-faults: $(VENV)/.dev
	DORA_TEST_FAULTS=1 $(BIN)/python -m pytest -q -p no:cacheprovider -o faulthandler_timeout=1800 \
		--numprocesses $(TEST_JOBS) --dist worksteal tests/faults

test-web: $(VENV)/.web
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/web

clean:
	rm -rf $(VENV) $(RIVAL) $(VISION)/assets $(VISION)/pictures examples/robot/assets bench/results.json bench/loan.json
	rm -rf out examples/*/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks

# A stamp stands for a finished installation; it is made anew when what it depends on changes.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "dora needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	@echo "installing dora into $(VENV)"
	@$(BIN)/python $(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml
	@echo "installing the development tools into $(VENV)"
	@$(BIN)/python $(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.web: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		apt-get install -y -q chromium || { echo "install chromium first" >&2; exit 1; }
	@$(BIN)/python $(PIP) playwright
	@touch $@

$(VENV)/.vision: $(VENV)/.base $(VISION)/requirements.txt
	@echo "installing what $(VISION) needs into $(VENV)"
	@$(BIN)/python $(PIP) -r $(VISION)/requirements.txt
	@touch $@

$(VENV)/.viewers: $(VENV)/.dev
	@echo "installing Foxglove's and Rerun's libraries into $(VENV)"
	@$(BIN)/python $(PIP) foxglove-sdk rerun-sdk
	@touch $@

$(RIVAL)/.base: | $(VENV)/bin/python
	$(PYTHON) -m venv --clear $(RIVAL)
	@echo "installing dora-rs 1.1.0 into $(RIVAL)"
	@$(RIVAL)/bin/python $(PIP) dora-rs==1.1.0 dora-rs-cli==1.1.0 numpy pyarrow
	@touch $@
