# mailbridge. `make demo` shows the main job, `make test` runs everything. Needs Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup run demo test check bench corpus lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the whole story on a temporary folder: mail in, ticket, answer, reply, reopened"
	@echo "make run     start the daemon on the embedded default (SQLite, Maildir out, SMTP on 127.0.0.1:8025)"
	@echo "make test    the whole test suite, with real servers"
	@echo "make check   format, lint, types, layers"
	@echo "make bench   measure speed and memory (prints ratios)"
	@echo "make corpus  CORPUS=DIR: how well the mails of a folder with known facts are read"
	@echo "make lock    resolve requirements.lock anew (needs uv)"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml setup.sh
	@PYTHON="$(PYTHON)" sh ./setup.sh "$(VENV)"
	@touch $(STAMP)

run: setup
	@$(BIN)/mailbridge run --config config/mailbridge.toml

demo: setup
	@$(BIN)/mailbridge demo

test: setup
	@sh ./setup-test-servers.sh
	@$(BIN)/python -m pytest $(ARGS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m benchmarks $(ARGS)

corpus: setup
	@$(BIN)/python -m benchmarks.corpus $(CORPUS)

lock:
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
