.DEFAULT_GOAL := help
.PHONY: help new release test test-slow test-updates timings lint format lock lock-check bench bench-pool questions pictures names clean size mutants bench-suite

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
BENCH_INSTALLED := .venv/.bench-installed

$(INSTALLED): requirements.txt
	@command -v $(firstword $(PYTHON)) >/dev/null || { echo '$(PYTHON) is not there: install Python 3.11 or newer, or name one with PYTHON='; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is too old: Python 3.11 or newer is needed; name one with PYTHON=")'
	@echo "Installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	@touch $@

$(BENCH_INSTALLED): requirements-bench.txt $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.txt
	@touch $@

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

new: $(INSTALLED) ## Render a service: make new DEST=../my-service [DEFAULTS=1] [DATA=answers.yml]
	@test -n "$(DEST)" || { echo 'Say where: make new DEST=../my-service'; exit 2; }
	@$(BIN)/python scripts/new.py "$(DEST)" $(if $(DEFAULTS),--defaults) $(if $(DATA),--data-file "$(DATA)")

release: $(INSTALLED) ## Check that a version can be released, and say how: make release VERSION=1.2.0
	@test -n "$(VERSION)" || { echo 'Say which: make release VERSION=1.2.0'; exit 2; }
	@$(BIN)/python scripts/release.py "$(VERSION)"

test: $(INSTALLED) ## Run the fast tests
	@$(BIN)/python -m pytest -m "not slow" $(args)

test-slow: $(INSTALLED) ## Run the other tests, which take minutes
	@$(BIN)/python -m pytest -m slow $(args)

test-updates: $(INSTALLED) ## Bring projects of every released version to the present, and print what became of them
	@$(BIN)/python -m pytest tests/test_updates.py $(args)

timings: $(INSTALLED) ## Print where the time of the last .ci/run went: make timings [args=--check]
	@$(BIN)/python scripts/timings.py $(args)

lint: $(INSTALLED) ## Check style, formatting and types of this repository's own code and the template's plain files
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(INSTALLED) ## Mend what lint finds, where it can be mended
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: $(INSTALLED) ## Refresh all locked dependencies, this repository's and the template's
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade requirements.in --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade --constraints requirements.txt requirements-bench.in --output-file requirements-bench.txt
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python scripts/lock.py

lock-check: $(INSTALLED) ## Check that the template's locks are what its dependencies resolve to
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python scripts/lock.py --check

size: $(INSTALLED) ## Count what each option renders: make size [args="--at ea2be86" or --record or --check]
	@$(BIN)/python scripts/size.py $(args)

mutants: $(INSTALLED) ## Plant bugs in a render, and name the tests that find them: make mutants [args="--at ea2be86"]
	@$(BIN)/python scripts/mutants.py $(args)

bench: $(INSTALLED) $(BENCH_INSTALLED) ## Measure the service beside its peer and the limits: make bench [args=--quick]
	@$(BIN)/python benchmarks/bench.py $(args)

bench-pool: $(INSTALLED) ## Measure the connection pool beside SQLAlchemy's own, under changing load
	@$(BIN)/python benchmarks/pool.py

bench-suite: $(INSTALLED) ## Measure the suite's processor time beside a revision: make bench-suite args="--base ea2be86"
	@$(BIN)/python benchmarks/suite.py $(args)

questions: $(INSTALLED) ## Refresh the table of questions in README.md
	@$(BIN)/python scripts/questions.py

pictures: $(INSTALLED) ## Refresh the pictures in docs/, of a real run; needs Chromium
	@$(BIN)/uv run --quiet --no-project --with rich --with pillow --with playwright python scripts/pictures.py

names: $(INSTALLED) ## Refresh reserved_names.jinja from this Python
	@$(BIN)/python scripts/reserved_names.py

clean: ## Remove the environment and caches
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
