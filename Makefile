# customer_health: everything from a fresh clone. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
ENGINES := .venv-engines
DIALECTS := .venv-dialects
TRYTON := .venv-tryton
SUPERSET := .venv-superset
UV_VERSION := 0.13.9
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DO_NOT_TRACK := 1
# Compiled modules are kept, whatever the machine's default: without them each start of a process
# compiles dbt and Great Expectations anew, 14 of the 56 s of a second run of the demo.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo dashboard report run test test-faults test-package test-sync test-superset test-dashboard test-postgres test-spark test-engines test-dialects bench lint format docs example clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# The first Python from 3.11 to 3.13 that really starts. requirements.lock pins every package with
# its hashes; uv only makes the installation quick.
$(VENV)/.installed: requirements.lock pyproject.toml
	@python=""; for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
		if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
		then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
		echo "customer_health needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python" >&2; exit 2; fi; \
	echo "Installing into $(VENV) with $$($$python --version) …"; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Spark is 300 MB of its own, which only the tests of engines and the benchmark of Spark need.
$(ENGINES)/.installed: requirements-engines.lock pyproject.toml $(VENV)/.installed
	@echo "Installing the engines into $(ENGINES) …"; $(BIN)/python -m venv $(ENGINES)
	@$(BIN)/uv pip install --quiet --python $(ENGINES)/bin/python --require-hashes -r requirements-engines.lock
	@$(BIN)/uv pip install --quiet --python $(ENGINES)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed ## Create .venv from the pinned dependencies

demo: $(VENV)/.installed ## Generate demo data, run the whole pipeline, say where to look
	$(BIN)/customer-health demo

dashboard: $(VENV)/.installed ## Open the dashboards of what is published in the browser
	$(BIN)/customer-health dashboard

report: $(VENV)/.installed ## Write portfolio and validation as a file each, to be mailed or opened
	$(BIN)/customer-health report

run: $(VENV)/.installed ## Score, check and publish again
	$(BIN)/customer-health run

test: $(VENV)/.installed ## Run the quick tests
	$(BIN)/python -m pytest

test-faults: $(VENV)/.installed ## Break data, files and processes, and see what readers get (15 min)
	$(BIN)/python -m pytest --no-loadscope-reorder tests/faults

# SCENARIOS chooses by name: SCENARIOS="everything or tenants"
test-package: $(VENV)/.installed ## Install the package into a stranger's project, nine ways (6 min)
	$(BIN)/python -m pytest -n 2 tests/package $(if $(SCENARIOS),-k "$(SCENARIOS)")

# A real CRM with dependencies of its own.
$(TRYTON)/.installed: requirements-tryton.lock $(VENV)/.installed
	@echo "Installing Tryton into $(TRYTON) …"; $(BIN)/python -m venv $(TRYTON)
	@$(BIN)/uv pip install --quiet --python $(TRYTON)/bin/python --require-hashes -r requirements-tryton.lock
	@touch $@

test-sync: $(TRYTON)/.installed ## Kill CRM syncs, and run one against a real Tryton CRM (1 min)
	TRYTON_VENV=$(TRYTON) $(BIN)/python -m pytest -n 0 tests/sync

# A real BI tool: 730 MB that only this test needs.
$(SUPERSET)/.installed: requirements-superset.lock $(VENV)/.installed
	@echo "Installing Superset into $(SUPERSET) …"; $(BIN)/python -m venv $(SUPERSET)
	@$(BIN)/uv pip install --quiet --python $(SUPERSET)/bin/python --require-hashes -r requirements-superset.lock
	@touch $@

test-superset: $(SUPERSET)/.installed ## Ask a real Superset on PostgreSQL what docs/bi.md defines (2 min)
	SUPERSET_VENV=$(SUPERSET) $(BIN)/python -m pytest -n 0 tests/superset

test-dashboard: $(VENV)/.installed ## Use the dashboards in a real Chromium, which has to be there (3 min)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/dashboard

# ENGINES_CASE names a folder for the raw tables of the two days and what DuckDB makes of them, which
# both engines are compared with; without it each target makes its own.
test-postgres: $(VENV)/.installed ## Run two days on PostgreSQL and compare with DuckDB (3 min)
	$(BIN)/python -m pytest -n 0 tests/engines/test_postgres.py tests/engines/test_postgres_publication.py

test-spark: $(ENGINES)/.installed ## Run two days on Spark and compare with DuckDB (14 min)
	$(ENGINES)/bin/python -m pytest -n 0 tests/engines/test_spark.py tests/engines/test_spark_publication.py

test-engines: $(ENGINES)/.installed ## Both of them (17 min)
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && export ENGINES_CASE="$$folder/case" && \
	$(MAKE) --no-print-directory test-postgres && $(MAKE) --no-print-directory test-spark

# The adapters of the cloud warehouses, which do not live beside our own pins. Asks no server.
$(DIALECTS)/.installed: requirements-dialects.lock $(VENV)/.installed
	@echo "Installing the dialects into $(DIALECTS) …"; $(BIN)/python -m venv $(DIALECTS)
	@$(BIN)/uv pip install --quiet --python $(DIALECTS)/bin/python --require-hashes -r requirements-dialects.lock
	@touch $@

test-dialects: $(DIALECTS)/.installed ## Compile every model for six engines, parse it, list what is unknown
	$(DIALECTS)/bin/python -m pytest -c /dev/null --rootdir tests/dialects --noconftest -q -p no:cacheprovider \
		--durations=5 tests/dialects

# SIZES in millions of events; EVENTS_PER_DAY=1 is the worst case. docs/performance.md
SIZES ?= 1 10
EVENTS_PER_DAY ?= 20
bench: $(VENV)/.installed ## Time the pipeline on SIZES="1 10" million events (docs/performance.md)
	$(BIN)/python benchmarks/pipeline.py --sizes "$(SIZES)" --events-per-day $(EVENTS_PER_DAY)

lint: $(VENV)/.installed ## Check style and types: ruff, mypy, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/lint_sql.py

format: $(VENV)/.installed ## Let ruff put the Python in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed ## Build the documentation site with tables and lineage, target/site/index.html
	@test -f "$${CUSTOMER_HEALTH_HOME:-warehouse}/build.duckdb" || $(BIN)/customer-health demo
	$(BIN)/dbt --quiet docs generate --static --vars '{customer_health__as_of_date: "2026-06-30"}'
	$(BIN)/python docs/build_site.py

example: $(VENV)/.installed ## Score the CRM simulation (CRM_SIMULATION_DATA=folder with its files)
	$(BIN)/python examples/crm_simulation/run.py

clean: ## Remove the environment, the demo warehouse and what the tools left behind
	rm -rf examples/*/{warehouse,target,logs,dbt_packages,package-lock.yml}
	rm -rf $(VENV) $(DIALECTS) $(ENGINES) $(TRYTON) $(SUPERSET) warehouse target logs .pytest_cache .hypothesis .mypy_cache .ruff_cache *.egg-info
