# Everything from a fresh checkout; each target does its own setup and is quick the second time.
# Needs make, git and a Python 3.11 or newer. What else is missing is installed as root or with
# FOREBAY_INSTALL=yes; otherwise the command to do it is printed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.forebay-ready
NODE_READY := $(patsubst %/package-lock.json,%/node_modules/.forebay-ready,\
	$(wildcard tests/*/package-lock.json))
BENCH_NODE_READY := $(patsubst %/package-lock.json,%/node_modules/.forebay-ready,\
	$(wildcard bench/package-lock.json))
# Packages from a folder that this machine's pip is told to look into would get their hashes into
# the locks, beside those of the index.
PIP_COMPILE := env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--no-emit-options

# Runs a command and shows what it said when it has ended.
define in-one-piece
mkdir -p .make; echo "$(1)"; $(1) > .make/$@.txt 2>&1; status=$$?; cat .make/$@.txt; exit $$status
endef

.DEFAULT_GOAL := help
.PHONY: help up dev test check format bench faults long rabbitmq4 autobahn sdk-latest proto lock \
	clean rabbitmq browser test-together test-alone test-others example-chat example-dashboard example-devices
.DELETE_ON_ERROR:

help: ## Say what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 26

up: $(READY) ## Run a front and a worker on a real RabbitMQ, until Ctrl-C
	@$(BIN)/python -m services.up

dev: $(READY) ## Run everything in one process, without RabbitMQ, until Ctrl-C
	@$(BIN)/forebay dev

example-chat: $(READY) ## Run examples/moderated_chat, until Ctrl-C
	@echo "open examples/moderated_chat/index.html in a browser; the moderator's key is owl"
	@cd examples/moderated_chat && CHAT_MODERATOR_KEY=owl $(CURDIR)/$(BIN)/forebay dev

example-dashboard: $(READY) ## Run examples/live_dashboard, until Ctrl-C
	@$(BIN)/python examples/live_dashboard/run.py

example-devices: $(READY) ## Run examples/device_ingestion on a real RabbitMQ, until Ctrl-C
	@$(BIN)/python examples/device_ingestion/run.py

check: $(READY) ## Check format, lint, types and architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	for example in examples/*/; do \
		(cd $$example && MYPYPATH=$(CURDIR) $(CURDIR)/$(BIN)/mypy --strict --config-file= \
			--cache-dir=$(CURDIR)/.mypy_cache/$$example .) || exit 1; \
	done
	$(BIN)/pytest tests/architecture -q

# In three parts, two at a time: tests of one process compute, and those of whole deployments wait for
# the most part. What the first says is shown at its end, not in the middle of the others' lines.
ALONE := tests/conformance tests/simulation tests/unit
TOGETHER := tests/faults tests/readme tests/sdk tests/system
PYTEST := $(BIN)/pytest -m "not long" --durations=10 --durations-min=5

test: $(READY) rabbitmq browser $(NODE_READY) ## Run the tests, against brokers that the run starts itself
	@echo "forebay: three parts, two at a time; what each says is shown when it has ended"
	@$(MAKE) --no-print-directory --jobs=2 --keep-going test-others test-together test-alone

test-together: $(READY)
	@$(call in-one-piece,$(PYTEST) $(TOGETHER))

test-alone: $(READY)
	@$(call in-one-piece,$(PYTEST) -p no:cacheprovider $(ALONE))

test-others: $(READY)
	@$(call in-one-piece,$(PYTEST) -p no:cacheprovider $(addprefix --ignore=,tests/architecture \
		$(ALONE) $(TOGETHER)))

SEEDS ?= 1-20
KIND ?= all

faults: $(READY) rabbitmq ## Run seeded fault schedules: SEEDS=1-150, KIND=processes, broker or all
	$(BIN)/python -m tests.faults --seeds $(SEEDS) --kind $(KIND)

long: $(READY) rabbitmq ## Run the tests that take too long for `make test`: clusters, alarms, lost logs
	$(BIN)/pytest -m long

rabbitmq4: $(READY) ## Run the tests of the broker's promises on RabbitMQ 4 (as root, on Debian)
	FOREBAY_TEST_RABBITMQ=4 $(BIN)/pytest tests/contract tests/faults/test_cluster.py \
		tests/faults/test_back_pressure.py tests/faults/test_loss_is_told.py

autobahn: $(READY) ## Run Autobahn's fuzzing client against the WebSocket stack: CASES='6.*' (Python 2.7)
	$(BIN)/python -m tests.autobahn

sdk-latest: $(READY) rabbitmq ## Run the SDK tests with the latest SDKs, in a scratch folder
	@$(PYTHON) -m broker.local.install npm
	$(BIN)/python -m tests.sdk.latest

bench: $(READY) rabbitmq $(BENCH_NODE_READY) ## Measure, and print the table
	$(BIN)/python -m bench

format: $(READY) ## Format the source and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(READY) ## Make the module of the client protocol's Protobuf messages
	$(BIN)/python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. \
		services/wire/client.proto

lock: $(READY) ## Resolve the dependencies anew
	$(PIP_COMPILE) --upgrade --output-file requirements.lock pyproject.toml
	$(PIP_COMPILE) --upgrade --output-file requirements-dev.lock --extra dev \
		--constraint requirements.lock pyproject.toml
	$(PIP_COMPILE) --upgrade --output-file requirements-build.lock \
		--all-build-deps --only-build-deps pyproject.toml

clean: ## Remove what the other targets made, but not the data under .rabbitmq
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf .make tests/*/node_modules bench/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

rabbitmq:
	@$(PYTHON) -m broker.local.install rabbitmq

browser:
	@$(PYTHON) -m broker.local.install browser

$(READY): requirements-dev.lock pyproject.toml
	@echo "forebay: setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "forebay: Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m broker.local.install venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

%/node_modules/.forebay-ready: %/package-lock.json
	@echo "forebay: installing the npm packages of $*"
	@$(PYTHON) -m broker.local.install npm
	@cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
