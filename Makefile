# `make run` and `make test` need Python 3.11, make and git; everything else comes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test test-slow check bench ui setup clean

run: $(READY)  ## the whole chain on the embedded sample
	$(BIN)/kedro run

test: $(READY)  ## all tests but the slow ones
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(READY)  ## whole trainings
	$(BIN)/pytest -m slow

check: $(READY)  ## format, lint, import rules, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(READY)  ## speed of this machine and of the training steps, as bench.json
	$(BIN)/python -m benchmarks.run

ui: $(READY)  ## the MLflow UI on this project's runs, at http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "sr-pipeline needs Python 3.11; name it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

clean:  ## remove what runs wrote; .venv stays
	rm -rf mlflow.db mlartifacts bench.json build
	git clean -fdXq data
