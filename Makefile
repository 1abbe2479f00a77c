# `make run` and `make test` need Python 3.11, make and git; everything else comes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test test-slow test-ci check bench docs ui setup clean

run: $(READY)  ## the whole chain on the embedded sample
	$(BIN)/kedro run

test: $(READY)  ## all tests but the slow ones
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

test-slow: $(READY)  ## whole trainings
	$(BIN)/pytest -m slow -n 2 --dist load --maxschedchunk 1 --durations=0

test-ci: $(READY)  ## those of them that .ci/run has the time for
	$(BIN)/pytest -m "slow and not slowest" -n 2 --dist load --maxschedchunk 1 --durations=0

check: $(READY)  ## format, lint, import rules, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(READY)  ## speed of this machine and of the training steps, as bench.json
	$(BIN)/python -m benchmarks.run

docs: $(READY)  ## the site of docs/, in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html, or see it change as you write: $(BIN)/python -m mkdocs serve"

ui: $(READY)  ## the MLflow UI on this project's runs, at http://127.0.0.1:5000
	@case "$$MLFLOW_TRACKING_URI" in \
	  http*) echo "runs are tracked by a server, which shows them at $$MLFLOW_TRACKING_URI" ;; \
	  *) $(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}" ;; \
	esac

setup: $(READY)

# Compiled here, as pip does: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would compile anew.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "sr-pipeline needs Python 3.11; name it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

clean:  ## remove what runs wrote; .venv and data/01_raw stay
	rm -rf mlflow.db mlartifacts bench.json build site
	git clean -fdXq $(filter-out data/01_raw,$(wildcard data/*)) data/.scratch
