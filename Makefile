# `make run` and `make test` need Python 3.11, 3.12 or 3.13, make and git; everything else comes into VENV.
PYTHON ?= $(shell scripts/pythons.sh | head -n 1)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests that take seconds each and train nothing, for every Python (`make test-pythons`). New files join them.
QUICK := tests/imaging tests/pictures tests/sources tests/pipelines tests/datasets tests/cli tests/serving tests/tracking \
  $(filter-out tests/inference/test_engines.py tests/inference/test_upscaler.py,$(wildcard tests/inference/test_*.py)) \
  $(filter-out tests/test_docs.py tests/test_notebooks.py tests/test_other_systems.py,$(wildcard tests/test_*.py))

.PHONY: run test test-quick test-pythons test-slow test-ci test-load check bench docs ui lock dvc-deps setup clean

run: $(READY)  ## the whole chain on the embedded sample
	$(BIN)/kedro run

test: $(READY)  ## all tests but the slow ones
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

test-quick: $(READY)  ## those that take seconds
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=12 $(QUICK)

test-pythons:  ## check and quick tests under every Python of this machine that is supported
	scripts/test-pythons.sh

test-slow: $(READY)  ## whole trainings
	$(BIN)/pytest -m slow -n 2 --dist load --maxschedchunk 1 --durations=0

test-ci: $(READY)  ## those of them that .ci/run has the time for
	$(BIN)/pytest -m "slow and not slowest" -n 2 --dist load --maxschedchunk 1 --durations=0

test-load: $(READY)  ## minutes of mixed requests to the page and the served model
	$(BIN)/pytest -m load --durations=0 tests/e2e/test_load.py

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
	  *) $(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-$$($(BIN)/python -c \
	    'import pathlib, sr_pipeline.tracking.store as s; print(s.sqlite_uri(pathlib.Path.cwd() / "mlflow.db"))')}" ;; \
	esac

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@scripts/setup.sh "$(PYTHON)" $(VENV)
	@touch $@

lock: $(READY)  ## requirements.lock for what pyproject.toml asks; `make lock UPGRADE=--upgrade` takes the newest of all
	$(BIN)/uv pip compile pyproject.toml --extra pipeline --extra app --extra openvino --extra flip --extra dev --extra docs \
	  --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(UPGRADE) -o requirements.lock

dvc-deps: $(READY)  ## the code that each stage of dvc.yaml depends on, from the imports
	$(BIN)/python scripts/dvc_code_deps.py

clean:  ## remove what runs wrote; .venv, data/01_raw and the checkpoints of the newest three trainings stay
	rm -rf mlflow.db mlartifacts bench.json build site
	git clean -fdXq $(filter-out data/01_raw,$(wildcard data/*))
	scripts/clean-scratch.sh
