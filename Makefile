# Two commands are enough: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORE := sqlite
DEMO_ON_sqlite := env
DEMO_ON_postgres := $(BIN)/python -m examples.private_postgres

.DEFAULT_GOAL := help
.PHONY: help setup demo dashboard screenshots test check lint format bench bench-full soak soak-both soak-model docs lock clean

help: ## Show what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything pinned (the others do it when needed)

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Turnspit needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Watch a shop's orders being worked off, a worker killed half-way; STORE=postgres: on PostgreSQL
	@$(or $(DEMO_ON_$(STORE)),$(error STORE is sqlite or postgres)) $(BIN)/python -m examples.orders.demo

dashboard: $(READY) ## Look at the demo's store in a browser
	@test -f demo/shop.db || $(MAKE) -s demo
	@$(BIN)/turnspit dashboard examples.orders.tasks:app

screenshots: $(READY) ## Draw docs/images/dashboard anew: every screen, light and dark, for a desk and a phone
	@$(BIN)/python -m tests.browser.screenshots

test: $(READY) ## Run every test: half of their time they wait, so one process more than there are processors
	@$(BIN)/python -m compileall -q src tests examples  # once, also where PYTHONDONTWRITEBYTECODE makes each process do it
	@$(BIN)/python -m pytest -q -n $$(($$(nproc) + 1)) --dist worksteal

check: lint ## Lint, types, import floors, sizes, public names
	@$(BIN)/python -m pytest -q tests/architecture
	@echo "all checks passed"

lint: $(READY) ## The part of check that is no test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright --warnings
	@$(BIN)/lint-imports --no-cache > /tmp/turnspit-imports.$$$$ || { cat /tmp/turnspit-imports.$$$$; exit 1; }

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(READY) ## Measure beside the raw limits and the peers (minutes)
	@$(BIN)/python -m benchmarks

bench-full: $(READY) ## The same, larger and with every peer in every repeat (most of an hour)
	@$(BIN)/python -m benchmarks --full

soak: $(READY) ## All faults at random, with proof: MINUTES=30 STORE=sqlite|postgres
	@$(BIN)/python -m soak --minutes $(or $(MINUTES),2) --store $(or $(STORE),sqlite) $(ARGUMENTS)

bench-check: $(READY) ## Fail where Turnspit fell behind the raw limit, or its own clean drain (a minute)
	@$(BIN)/python -m benchmarks.check

soak-both: $(READY) ## Soak SQLite and PostgreSQL side by side, and write docs/reliability.md: MINUTES=30
	@$(BIN)/python -m soak --minutes $(or $(MINUTES),30) --store sqlite & other=$$!; \
	$(BIN)/python -m soak --minutes $(or $(MINUTES),30) --store postgres; code=$$?; \
	wait $$other && [ $$code = 0 ] && $(BIN)/python -m soak.page

soak-model: $(READY) ## Random operations against the reference model, for hours: EXAMPLES=20000
	@TURNSPIT_SOAK=$(or $(EXAMPLES),500) $(BIN)/python -m pytest -q tests/model --timeout=0 -n 2

docs: $(READY) ## Write the generated pages of docs/ again
	@$(BIN)/python -m tests.docs.generate

lock: ## Pin the newest development dependencies, with hashes
	@$(PYTHON) -m venv --clear .lock && .lock/bin/pip install --quiet uv
	@cd requirements && ../.lock/bin/uv pip compile --universal --upgrade --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-header --quiet dev.in -o dev.txt
	@rm -r .lock

clean: ## Remove what the other targets made
	@rm -rf $(VENV) demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
