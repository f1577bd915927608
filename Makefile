# Every target makes the virtual environment first; it is rebuilt when the lock file changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# With JOBS=2 two test files run side by side, each whole and in its order; integration tests want a quiet machine.
JOBS ?= 0
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: azurite setup setup-snapshots run test unit lint bench engines chaos soak schemas docs lock clean

setup: $(STAMP)

$(STAMP): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The snapshot pipeline's extras, into the same environment (docs/snapshots.md). The lock is whole, hence
# --no-deps: pip would look for a newer SQLAlchemy than the lock's, since some ask for it with an extra.
SNAPSHOTS_STAMP := $(VENV)/.installed-snapshots

setup-snapshots: $(SNAPSHOTS_STAMP)

$(SNAPSHOTS_STAMP): requirements/snapshots-test.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/snapshots-test.txt
	@touch $@

run: $(STAMP)
	@$(BIN)/cryptostream run $(ARGS)

test: $(STAMP)
	@$(PYTEST) $(ARGS)

unit: $(STAMP)
	@$(PYTEST) -m "not integration" $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

# Real Kafka and real InfluxDB, for tests and benchmarks (docs/engines.md).
engines: $(STAMP)
	@$(BIN)/python -m cryptostream.engines $(ARGS)

# An emulated Azure Blob Storage for tests, into the cache of engines; nothing in this tree needs it to run.
AZURITE_VERSION := 3.37.0
azurite:
	@cache="$${CRYPTOSTREAM_ENGINES:-$${XDG_CACHE_HOME:-$$HOME/.cache}/cryptostream/engines}/azurite-$(AZURITE_VERSION)"; \
	  test -x "$$cache/node_modules/.bin/azurite-blob" || { \
	    rm -rf "$$cache" "$$cache.new" && mkdir -p "$$cache.new" && \
	    npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$$cache.new" azurite@$(AZURITE_VERSION) && \
	    mv "$$cache.new" "$$cache"; }

# The locks name hashes and no index; those of the extras agree with the first.
LOCK := $(VENV)/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
lock: $(STAMP)
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet uv
	$(LOCK) --extra dev --extra parquet --output-file requirements/lock.txt
	$(LOCK) --extra snapshots --constraints requirements/lock.txt --output-file requirements/snapshots.txt
	$(LOCK) --extra dev --extra parquet --extra snapshots --extra snapshots-test \
	  --constraints requirements/lock.txt --constraints requirements/snapshots.txt --output-file requirements/snapshots-test.txt

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache

schemas: $(STAMP)
	@$(BIN)/python -c 'import json, pathlib; from shared.models import MODELS; \
	  [pathlib.Path(f"docs/schemas/{kind}.json").write_text(json.dumps(model.model_json_schema(), indent=2) + "\n") for kind, model in MODELS.items()]'

docs: $(STAMP) schemas
	@$(BIN)/python -m docs.make_indicators
	@$(BIN)/python -m docs.make_snapshots

# Breaks a whole stack on purpose (docs/faults.md); with ARGS only that: make chaos ARGS="kill-producer --kills 5"
chaos: $(STAMP)
	@$(BIN)/cryptostream chaos $(if $(ARGS),$(ARGS),--kills 50 --write docs/faults.md)

# An hour at twenty times the speed (docs/soak.md).
soak: $(STAMP)
	@$(BIN)/cryptostream chaos soak --duration 3600 --speed 20 --write docs/soak.md $(ARGS)
