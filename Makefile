# Every target makes the virtual environment first; it is rebuilt when the lock file changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# Test files side by side, each whole and in its order; JOBS=0 takes them one after another. Two on two cores;
# three where tests mostly wait (.ci/run).
JOBS ?= 2
# Hundreds of processes of tests would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: setup setup-snapshots run web web-if-possible web-test test unit lint bench engines azurite chaos power-cuts week parity oracle sources
.PHONY: soak frames lanes mutants simulation
.PHONY: schemas docs dashboards lock clean
.PHONY: up no-webhook-in-env down logs ps urls password backup restore compose images test-compose

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

run: $(STAMP) $(if $(findstring --no-web,$(ARGS)),,web-if-possible)
	@$(BIN)/cryptostream run $(ARGS)

# The page of the browser as plain files (docs/dashboard.md), which `run` and `python -m api` serve: Node is needed
# to build it alone. No script of a package runs.
WEB_PACKAGES := web/node_modules/.package-lock.json
WEB := web/out/index.html
NODE_NEEDED := 20.9
HAS_NODE := command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 9) ? 0 : 1)' 2>/dev/null

web: $(WEB)

$(WEB_PACKAGES): web/package.json web/package-lock.json
	@$(HAS_NODE) || { echo "the page needs Node $(NODE_NEEDED) or newer, and npm, to be built; install them, then: make web" >&2; exit 2; }
	cd web && npm ci --ignore-scripts --no-audit --no-fund --silent

$(WEB): $(WEB_PACKAGES) web/openapi.json $(shell find web/src web/public web/*.ts -type f 2>/dev/null)
	cd web && npm run --silent build
	@touch $@

# Before a run: it goes on without the page.
web-if-possible:
	@if $(HAS_NODE); then $(MAKE) --no-print-directory web || echo "page: could not be built (see above); going on with its API alone" >&2; \
	  else echo "page: Node $(NODE_NEEDED) or newer, and npm, are needed to build it; going on with its API alone" >&2; fi

web-test: $(WEB_PACKAGES)
	cd web && npm test --silent

test: $(STAMP)
	@$(PYTEST) $(ARGS)

# A quick answer while one works: what takes long is left to `make test`. Reading the tests that it leaves out took
# a third of what each process reads.
NOT_UNIT := integration exchange_contract frames security simulation
unit: $(STAMP)
	@$(PYTEST) -m "not integration and not thorough" $(NOT_UNIT:%=--ignore tests/%) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -e $(WEB_PACKAGES) ]; then cd web && npm run --silent lint && npm run --silent typecheck; fi

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

# The locks name hashes and no index; those of the image and of the extras agree with the first.
LOCK := $(VENV)/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
lock: $(STAMP)
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet uv
	$(LOCK) --extra dev --extra parquet --output-file requirements/lock.txt
	$(LOCK) --constraint requirements/lock.txt --output-file requirements/services.txt
	$(LOCK) --extra snapshots --constraints requirements/lock.txt --output-file requirements/snapshots.txt
	$(LOCK) --extra dev --extra parquet --extra snapshots --extra snapshots-test \
	  --constraints requirements/lock.txt --constraints requirements/snapshots.txt --output-file requirements/snapshots-test.txt

# Everything made here, the containers' data included: prices, dashboards' changes, secrets.
clean:
	@if docker info >/dev/null 2>&1 && [ -n "$$($(STACK) $(ALL_PROFILES) ps -q)" -o -n "$$(docker volume ls -q --filter label=com.docker.compose.project=$(PROJECT))" ]; then \
	  if [ "$(YES)" != 1 ]; then \
	    printf 'remove the containers of %s and all their data? type yes: ' "$(PROJECT)"; read -r answer; \
	    [ "$$answer" = yes ] || { echo "nothing removed; without asking: make clean YES=1"; exit 1; }; \
	  fi; \
	  $(STACK) $(ALL_PROFILES) down --volumes --remove-orphans; \
	fi
	rm -rf web/node_modules web/out web/.next $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache

schemas: $(STAMP)
	@$(BIN)/python -c 'import json, pathlib; from shared.models import MODELS; \
	  [pathlib.Path(f"docs/schemas/{kind}.json").write_text(json.dumps(model.model_json_schema(), indent=2) + "\n") for kind, model in MODELS.items()]'

docs: $(STAMP) schemas
	@$(BIN)/python -m scripts.make_indicators
	@$(BIN)/python -m scripts.make_snapshots
	@$(BIN)/python -m scripts.make_exchanges
	@$(BIN)/python -m scripts.make_openapi

# The JSON that Grafana reads, from grafana/boards and grafana/alerts.py (docs/dashboards.md).
dashboards: $(STAMP)
	@$(BIN)/python -m grafana.build

# Breaks a whole stack on purpose (docs/faults.md); with ARGS only that: make chaos ARGS="kill-producer --kills 5"
chaos: $(STAMP)
	@$(BIN)/cryptostream chaos $(if $(ARGS),$(ARGS),--kills 50 --write docs/faults.md)
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results chaos)

# A hundred power cuts of the broker's machine, in ten markets (docs/faults.md).
power-cuts: $(STAMP)
	@$(BIN)/cryptostream chaos power-cut --rounds 10 --kills 10 --write docs/faults.md $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results power-cuts)

# A week of snapshots under all troubles at once, in virtual time (docs/snapshots.md).
week: $(SNAPSHOTS_STAMP)
	@$(BIN)/python -m scripts.make_week
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results week)

# Every column of the indicators against its reference, on months of bars (docs/parity.md).
parity: $(STAMP)
	@$(BIN)/python -m scripts.make_parity
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results parity)

# Seeded runs checked against the exchange's log (docs/oracle.md); with ARGS only these: make oracle ARGS="--seed 7"
oracle: $(STAMP)
	@$(BIN)/python -m oracle $(if $(ARGS),$(ARGS),--seeds 200 --write docs/oracle.md)
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results oracle)

# Each data source cut in turn, on both brokers and both stores: an hour and a half.
sources: $(STAMP)
	@$(PYTEST) --dist load -m long $(ARGS) tests/integration/oracle/test_sources.py

# Seeds of the whole chain in virtual time; a failed one alone: make simulation ARGS="--seed 7 --shrink"
simulation: $(STAMP)
	@$(BIN)/python -m tests.simulation $(ARGS)

# Ten million generated frames, answers of REST and records: five minutes on two free cores (docs/security.md).
frames: $(STAMP)
	@$(BIN)/python -m tests.frames $(if $(ARGS),$(ARGS),--write docs/security.md)
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results frames)

# Ten million frames and the recordings through lanes and the long way, which must not differ (docs/decisions/lanes.md).
lanes: $(STAMP)
	@$(BIN)/python -m tests.lanes $(ARGS)

# Exchanges one operator at a time in the services' code; do the tests notice? (docs/mutants.md)
mutants: $(STAMP)
	@$(BIN)/python -m tests.mutants $(if $(ARGS),$(ARGS),--write docs/mutants.md)

# An hour at twenty times the speed (docs/soak.md).
soak: $(STAMP)
	@$(BIN)/cryptostream chaos soak --duration 3600 --speed 20 --write docs/soak.md $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m scripts.dated_results soak)

# --- Containers (docs/operations.md); these need an engine and a composer, nothing of Python. ---
# SOURCE=simulator, BROKER=light|three, EXCHANGES=kraken,coinbase, C3=1, SNAPSHOTS=1 choose; the same words go to
# down, logs, ps.
COMPOSE := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SOURCE ?= live
BROKER ?= confluent
FILE_confluent := docker-compose.yml
FILE_light := compose.light.yml
FILE_three := compose.three-brokers.yml
OVERLAY_simulator := -f compose.simulator.yml
# Markets beside those of SYMBOLS, each with its producer in the profile of its exchange. Binance is always there.
MARKET_kraken := kraken:BTC/USD
MARKET_coinbase := coinbase:BTC-USD
comma := ,
space := $(subst ,, )
OTHERS = $(filter-out binance,$(subst $(comma),$(space),$(EXCHANGES)))
MARKETS = $(foreach exchange,$(OTHERS),$(or $(MARKET_$(exchange)),$(error EXCHANGES=$(EXCHANGES): "$(exchange)" is none of them; choose from kraken, coinbase)))
# Images that were built on this machine are taken as they are; all others by their digests.
LOCAL_IMAGES := $(shell docker/local-images 2>/dev/null)
STACK = $(LOCAL_IMAGES) $(if $(C3),C3_ENABLED=true) $(if $(MARKETS),MORE_SYMBOLS=$(subst $(space),$(comma),$(strip $(MARKETS)))) $(COMPOSE) -f $(or $(FILE_$(BROKER)),$(error BROKER=$(BROKER): choose confluent, light or three)) $(if $(filter live,$(SOURCE)),,$(or $(OVERLAY_$(SOURCE)),$(error SOURCE=$(SOURCE): choose live or simulator))) $(OTHERS:%=--profile %) $(if $(C3),--profile c3) $(if $(SNAPSHOTS),--profile snapshots)
ALL_PROFILES := --profile c3 --profile tools --profile snapshots --profile kraken --profile coinbase
PROJECT = $(shell docker/project-name)

up: no-webhook-in-env
	$(STACK) up --build --detach --remove-orphans $(ARGS)
	@$(MAKE) --no-print-directory urls

# It would be shown by `docker inspect`, and nothing reads it there any more.
no-webhook-in-env:
	@! grep -Eqs '^[[:space:]]*(export[[:space:]]+)?ALERT_WEBHOOK_URL[[:space:]]*=' .env && [ -z "$$ALERT_WEBHOOK_URL" ] || { \
	  echo "ALERT_WEBHOOK_URL: is a secret; put it into influxdb/secrets/.env.alert-webhook-url, and take it out of here"; exit 2; }

down:
	$(STACK) $(ALL_PROFILES) down --remove-orphans $(ARGS)

logs:
	$(STACK) logs --follow --tail 100 $(ARGS)

ps:
	@$(STACK) ps $(ARGS)

urls:
	@for service in api:8000 grafana:3000 influxdb:8086 control-center:9021 prefect-server:4200; do \
	  at=$$($(STACK) port $${service%:*} $${service#*:} 2>/dev/null) && [ -n "$$at" ] && printf '%-15s http://%s\n' "$${service%:*}" "$$at"; done; true

# Of Grafana's and InfluxDB's administrators.
password:
	@$(STACK) run --rm --no-deps -T secrets-init python -m influxdb.provision show
	@echo "(if Grafana refuses it, its own was changed or is older than the secrets: docker compose exec grafana grafana cli admin reset-admin-password NEW)"

# All of InfluxDB into a new folder of BACKUPS (default: the volume backups); FROM is such a folder's name.
# After a restore tokens may be others: consumers that are refused start again by themselves, Grafana must be told.
backup:
	@$(STACK) run --rm -T backup

restore:
	@test -n "$(FROM)" || { echo "restore: name a backup, like make restore FROM=20261122T031500Z"; exit 2; }
	$(STACK) run --rm -T backup restore /backup/$(FROM)
	$(STACK) run --rm --no-deps -T influx-init
	$(STACK) restart grafana

compose: $(STAMP)
	@$(BIN)/python -m scripts.make_compose

# The digests of the images of others, asked of their registries, into docker/images.lock and the compose files
# (docs/operations.md, Upgrading). REGISTRY is the URL of the one they are pulled from; with ARGS=--check nothing
# is written.
images: $(STAMP)
	@test -n "$(REGISTRY)" || { echo "make images: name the registry that the images come from: make images REGISTRY=URL" >&2; exit 2; }
	@$(BIN)/python -m scripts.pin_images --registry "$(REGISTRY)" $(ARGS)

# The whole stack on this machine's engine: brought up, broken, checked (docs/operations.md).
test-compose: $(STAMP)
	@$(BIN)/python -m tests.compose $(ARGS)
