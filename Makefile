# Each target sets up what it needs, says so, and is quick the second time.

PORT ?= 5000
PYTHON ?= python3
BIN = .venv/bin
# What `make mutants` changes: one module of the protocol, or all that are measured.
MODULE ?= *
# How long `make load` sends sealed requests.
MINUTES ?= 0.5

.DEFAULT_GOAL := help
.PHONY: help demo test bench load docs check fuzz mutants lock clean

help:
	@echo "make demo    start the bank example on http://127.0.0.1:$(PORT)"
	@echo "make test    run the whole suite: Python, JavaScript, browser"
	@echo "make bench   measure what sealing costs on this machine"
	@echo "make load    the same behind gunicorn, with requests of wrk and streams of 1 GiB (MINUTES=5)"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make check   ruff, mypy, the documentation without warnings, the wheel in an empty environment"
	@echo "make fuzz    feed the parsers for a minute with what no peer should send"
	@echo "make mutants see which changes of the code no test notices (MODULE=records: of one module)"
	@echo "make lock    renew the locked versions"
	@echo "make clean   remove all that make has made"

demo: .venv/demo
	@echo "The bank opens at http://127.0.0.1:$(PORT) (Ctrl+C closes it)"
	@$(BIN)/flask --app examples.bank run --host 127.0.0.1 --port $(PORT)

test: .venv/test
	$(BIN)/python -m pytest

bench: .venv/test
	$(BIN)/python -m tests.benchmarks

load: .venv/test
	$(BIN)/python -m tests.benchmarks.servers --minutes $(MINUTES)

docs: .venv/test
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

check: .venv/test docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	tools/check-wheel

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz

mutants: .venv/mutants
	$(BIN)/mutmut run 'flask_sealed.protocol.$(MODULE).*'
	$(BIN)/mutmut results

lock: .venv/test
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --upgrade --extra jwt pyproject.toml -o requirements/demo.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --upgrade --extra jwt --group dev -c requirements/demo.txt pyproject.toml \
		-o requirements/dev.txt
	for group in fuzz mutants; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-header --upgrade --group $$group -c requirements/dev.txt \
			-o requirements/$$group.txt || exit 1; \
	done

clean:
	git clean -ffdXq

# Only what the demo needs.
.venv/demo: tools/setup requirements/demo.txt pyproject.toml
	PYTHON=$(PYTHON) tools/setup demo

# All that the tests, checks and documentation need, programs of the system included.
.venv/test: tools/setup requirements/dev.txt pyproject.toml tests/js/package-lock.json
	PYTHON=$(PYTHON) tools/setup test

# What only these two need, on top of the others.
.venv/fuzz: .venv/demo requirements/fuzz.txt
	PYTHON=$(PYTHON) tools/setup fuzz

.venv/mutants: .venv/test requirements/mutants.txt
	PYTHON=$(PYTHON) tools/setup mutants
