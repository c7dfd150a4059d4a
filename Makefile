# Commands for users and developers: `make demo` shows the service at work, `make test` runs the tests, `make run` starts it.

PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

.DEFAULT_GOAL := help
.PHONY: help demo run test chaos attack soak check bench stop clean lock images openapi screenshots notebooks

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1 - /p' $(MAKEFILE_LIST)

# Installs once, and again when a requirement changes; uv, if it is there, is several times faster than pip. The locks are complete:
# without --no-deps, pip looks for the newest release of a package that is required with an extra, and finds no hash.
.venv/%.installed: requirements.lock requirements-dev.lock
	@PYTHON="$(PYTHON)" bin/make-venv
	@echo "Installing $*.lock into .venv: a minute or more, up to 600 MB to download ..."
	@if command -v uv > /dev/null; then \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --no-deps -r $*.lock; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $*.lock; \
	fi
	@touch $@

demo: .venv/requirements.installed  ## train and forecast two symbols over HTTP [PRICES=folder SYMBOLS="A B"]
	@$(MANAGE) demo $(if $(PRICES),--prices "$(PRICES)") $(SYMBOLS)

run: .venv/requirements.installed  ## database, web server and worker until Ctrl-C
	@$(MANAGE) run

test: .venv/requirements-dev.installed  ## all tests [ARGS="-k name"]
	@status=0; $(BIN)/python -m pytest $(ARGS) || status=$$?; \
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) stop_postgres > /dev/null; exit $$status

chaos: .venv/requirements-dev.installed  ## break the service on purpose, many times [COUNT=1 JOBS=4 CASES="1 4"]
	@$(BIN)/python -m tests.chaos $(if $(COUNT),--count $(COUNT)) $(if $(JOBS),--jobs $(JOBS)) $(CASES)

attack: .venv/requirements-dev.installed  ## attack the service while an honest client measures what it feels [CASES="1 4"]
	@$(BIN)/python -m tests.attack $(CASES)

soak: .venv/requirements-dev.installed  ## an hour of steady load while days pass: what grows, slows down or goes wrong? [MINUTES=60]
	@$(BIN)/python -m tests.soak $(MINUTES)

check: .venv/requirements-dev.installed  ## lint, types, import contracts, Django's checks, migrations and OpenAPI document in step
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) check --fail-level ERROR
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) makemigrations --check --dry-run
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) spectacular --validate --fail-on-warn --file .state/openapi.yaml
	diff -u openapi.yaml .state/openapi.yaml
	@DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) stop_postgres

bench: .venv/requirements-dev.installed  ## measure speed and memory [PRICES=folder SYMBOLS="A B" TRAININGS=n REFERENCE=script]
	@$(MANAGE) bench $(if $(PRICES),--prices "$(PRICES)") $(if $(TRAININGS),--trainings $(TRAININGS)) \
		$(if $(REFERENCE),--reference "$(REFERENCE)") $(SYMBOLS)
	@$(BIN)/python -m tests.page_bench

openapi: .venv/requirements-dev.installed  ## write openapi.yaml anew after a change of the API
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) spectacular --validate --fail-on-warn --file openapi.yaml

screenshots: .venv/requirements-dev.installed  ## photograph every page in four states, also for the README (needs chromium) [ARGS="--states idle"]
	@$(BIN)/python -m tests.screenshots $(ARGS)

notebooks: .venv/requirements-dev.installed  ## run the notebooks on simulated prices and keep their figures
	@$(BIN)/python -m tests.notebook_figures

stop:  ## stop the embedded Postgres that commands or tests left running; asks if a service runs on it
	@$(MANAGE) stop_postgres
	@DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) stop_postgres

clean:  ## remove the database, logs, trained models and .venv
	@if [ -x $(BIN)/python ]; then \
		$(MANAGE) stop_postgres --destroy || [ $$? -ne 3 ] || exit 3; \
		DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) stop_postgres --destroy || [ $$? -ne 3 ] || exit 3; fi
	rm -rf .venv .state logs media/models .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock"

lock:  ## pin every package that is not pinned yet, with the hashes of its files (needs uv)
	cat requirements.txt requirements-dev.txt | grep -v '^-' | $(UV_COMPILE) --output-file constraints.txt -
	$(UV_COMPILE) --generate-hashes --output-file requirements.lock requirements.txt
	$(UV_COMPILE) --generate-hashes --output-file requirements-dev.lock requirements-dev.txt

images:  ## write the digests of the base images into Dockerfile and the compose files (needs docker)
	@bin/pin-images
