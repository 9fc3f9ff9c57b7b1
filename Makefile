.DEFAULT_GOAL := help
.PHONY: help new changelog release test test-slow test-updates timings lint words format lock lock-check bench bench-pool bench-profile questions pictures names clean size mutants bench-health bench-failures bench-suite cluster failover first-hour address scoreboard release-impact example-fleet example

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NEW_INSTALLED := .venv/new/.installed
BENCH_INSTALLED := .venv/.bench-installed
CLUSTER_INSTALLED := .venv/cluster/.installed

define CHECK_PYTHON
@command -v $(firstword $(PYTHON)) >/dev/null || { echo 'Cannot find $(PYTHON). Install Python 3.11 or newer, or set PYTHON, for example PYTHON=python3.12'; exit 2; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is too old. Install Python 3.11 or newer, or set PYTHON, for example PYTHON=python3.12")'
endef

$(INSTALLED): requirements.txt
	$(CHECK_PYTHON)
	@echo "Installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	@touch $@

# `make new` has its own small environment, because the packages of the tests take longer to install than a render.
$(NEW_INSTALLED): requirements-new.txt
	$(CHECK_PYTHON)
	@echo "Installing Copier into .venv/new …"
	@$(PYTHON) -m venv .venv/new
	@.venv/new/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements-new.txt
	@touch $@

$(BENCH_INSTALLED): requirements-bench.txt $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.txt
	@touch $@

$(CLUSTER_INSTALLED): requirements-cluster.txt $(INSTALLED)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/cluster
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --no-deps --python .venv/cluster -r requirements-cluster.txt
	@touch $@

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

new: $(NEW_INSTALLED) ## Render a service: make new DEST=../my-service [DEFAULTS=1] [DATA=answers.yml]
	@test -n "$(DEST)" || { echo 'DEST is not set. Run: make new DEST=../my-service'; exit 2; }
	@.venv/new/bin/python scripts/new.py "$(DEST)" $(if $(DEFAULTS),--defaults) $(if $(DATA),--data-file "$(DATA)")

changelog: $(INSTALLED) ## Write CHANGELOG.md from notices.yml, or prepare a release: make changelog [VERSION=1.2.0]
	@PYTHONPATH=. $(BIN)/python scripts/changelog.py $(VERSION)

release: $(INSTALLED) ## Check that a version can be released, and print the next commands: make release VERSION=1.2.0
	@test -n "$(VERSION)" || { echo 'VERSION is not set. Run: make release VERSION=1.2.0'; exit 2; }
	@PYTHONPATH=. $(BIN)/python scripts/release.py "$(VERSION)"

test: $(INSTALLED) ## Run the fast tests
	@$(BIN)/python -m pytest -m "not slow" $(args)

test-slow: $(INSTALLED) ## Run the slow tests
	@$(BIN)/python -m pytest -m slow $(args)

test-updates: $(INSTALLED) ## Update projects of every release to the current version, and print the results
	@$(BIN)/python -m pytest tests/test_updates.py $(args)

scoreboard: $(INSTALLED) ## Update the projects of owners/, and write docs/update-scoreboard.md: make scoreboard [args=NAME]
	@PYTHONPATH=tests:hooks $(BIN)/python scripts/scoreboard.py $(args)

release-impact: $(INSTALLED) ## Count projects that merge the last commit and stay green: make release-impact [FLEET=fleet.txt]
	@PYTHONPATH=.:tests:hooks $(BIN)/python scripts/release_impact.py $(if $(FLEET),--fleet "$(FLEET)")

cluster: $(CLUSTER_INSTALLED) ## Install Patroni, etcd and PostgreSQL for tests/test_failover.py (Linux on x86-64)

failover: $(INSTALLED) $(CLUSTER_INSTALLED) ## Let the primary of a PostgreSQL cluster fail in several ways, and print a table
	@FAULTS=all $(BIN)/python -m pytest -n0 tests/test_failover.py $(args)

timings: $(INSTALLED) ## Print the times of the last .ci/run: make timings [args=--record or --check]
	@$(BIN)/python scripts/timings.py $(args)

lint: $(INSTALLED) ## Check style, formatting, types and wording of this repository and of template files without Jinja
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/codespell
	@$(BIN)/python scripts/words.py --brief

words: $(INSTALLED) ## List long sentences, and phrases that are hard to read: make words [args=--brief]
	@$(BIN)/python scripts/words.py $(args)

format: $(INSTALLED) ## Fix style and formatting automatically
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: $(INSTALLED) ## Update the lockfiles of this repository and of the template
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade requirements.in --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade --constraints requirements.txt requirements-new.in --output-file requirements-new.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade --constraints requirements.txt requirements-bench.in --output-file requirements-bench.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade --constraints requirements.txt requirements-cluster.in --output-file requirements-cluster.txt
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python scripts/lock.py

lock-check: $(INSTALLED) ## Check that the template's lockfiles match its dependencies
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python scripts/lock.py --check

size: $(INSTALLED) ## Print the size of each option's render: make size [args="--at ea2be86" or --record or --check]
	@$(BIN)/python scripts/size.py $(args)

mutants: $(INSTALLED) ## Plant bugs in a render, and name the tests that find them: make mutants [args="--at ea2be86"]
	@$(BIN)/python scripts/mutants.py $(args)

bench: $(INSTALLED) $(BENCH_INSTALLED) ## Compare a rendered service with two other templates': make bench [args=--quick]
	@$(BIN)/python benchmarks/bench.py $(args)

bench-profile: $(INSTALLED) $(BENCH_INSTALLED) ## Show where requests spend their processor time, by layer: make bench-profile [args="--seconds 2"]
	@$(BIN)/python benchmarks/profiling.py $(args)

bench-pool: $(INSTALLED) ## Compare the connection pool with SQLAlchemy's default pool, under changing load
	@$(BIN)/python benchmarks/pool.py

bench-health: $(INSTALLED) ## Measure the health checks far away from the database, and when it fails [args=--quick]
	@$(BIN)/python benchmarks/health.py $(args)

bench-failures: $(INSTALLED) ## Let the database and the service fail under load, beside another template's service [args=--record]
	@$(BIN)/python benchmarks/failures.py $(args)

bench-suite: $(INSTALLED) ## Compare the rendered tests' processor time with a revision: make bench-suite args="--base ea2be86"
	@$(BIN)/python benchmarks/suite.py $(args)

example: $(INSTALLED) ## Write an example's commit for a release: make example ACTION=render DEST=../example VERSION=1.2.0
	@test -n "$(ACTION)" && test -n "$(DEST)" && test -n "$(VERSION)" || { echo 'ACTION, DEST or VERSION is not set. Run: make example ACTION=render DEST=../example VERSION=1.2.0'; exit 2; }
	@$(BIN)/python scripts/example.py "$(ACTION)" "$(DEST)" "$(VERSION)" $(if $(TEMPLATE),--template "$(TEMPLATE)") $(if $(CHECK),--check)

questions: $(INSTALLED) ## Write the table of questions in README.md
	@$(BIN)/python scripts/questions.py

address: $(INSTALLED) ## Print the public address of this repository, or change it everywhere: make address URL=https://…
	@$(BIN)/python scripts/address.py $(if $(URL),"$(URL)")

first-hour: $(INSTALLED) ## Run the first commands of README.md on a new machine, and write docs/first-hour.md [args=--print]
	@$(BIN)/python scripts/first_hour.py $(args)

pictures: $(INSTALLED) ## Make the pictures in docs/ from a real run; needs Chromium
	@$(BIN)/uv run --quiet --no-project --with rich --with pillow --with playwright python scripts/pictures.py

example-fleet: $(INSTALLED) ## Report and verify recorded owners with `standfast fleet`, and write docs/fleet.txt
	@$(BIN)/python scripts/example_fleet.py .example-fleet $(args)
	@$(BIN)/uv run --quiet --no-project --with rich --with pillow --with playwright python scripts/pictures.py .example-fleet/fleet.html

names: $(INSTALLED) ## Write reserved_names.jinja for this Python version
	@$(BIN)/python scripts/reserved_names.py

clean: ## Delete .venv and the caches
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
