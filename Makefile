# Each target sets up what it needs, says so, and is quick the second time.

PORT ?= 5000
PYTHON ?= python3
BIN = .venv/bin
# What `make mutants` changes: one module of the protocol, or all that are measured.
MODULE ?= *
# Which Debian `make fresh` makes a root of.
SUITE ?= stable
# How long `make load` sends sealed requests, and `make soak` with each store.
MINUTES ?= 0.5

.DEFAULT_GOAL := help
.PHONY: help demo test oldest bench load rivals rotation soak screenshots client docs check fresh release fuzz mutants lock clean

help:
	@echo "make demo    start the bank example on http://127.0.0.1:$(PORT)"
	@echo "make test    run the whole suite: Python, JavaScript, browser"
	@echo "make oldest  run the tests of the Flask side and the clients with the oldest dependencies"
	@echo "make bench   measure what sealing costs on this machine"
	@echo "make load    the same behind gunicorn, with requests of wrk and streams of 1 GiB (MINUTES=5)"
	@echo "make rivals  measure it beside others that encrypt payloads, and draw it for the documentation"
	@echo "make soak    faults under load: workers killed, Redis restarted, clocks set (MINUTES=5)"
	@echo "make rotation  rotate keys each second for a minute while gunicorn answers"
	@echo "make screenshots  take the pictures of the bank that README and docs show"
	@echo "make client  build what browsers are served from flask_sealed/js, after a change there"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make check   ruff, mypy, the documentation without warnings, the wheel in an empty environment"
	@echo "make fresh   README's quickstart with the wheel, in a fresh Debian root (SUITE=trixie)"
	@echo "make release build what is published into dist: source, wheel, bill of materials, checksums"
	@echo "make fuzz    feed the parsers for a minute with what no peer should send"
	@echo "make mutants see which changes of the code no test notices (MODULE=records: of one module)"
	@echo "make lock    renew the locked versions"
	@echo "make clean   remove all that make has made"

demo: .venv/demo
	@echo "The bank opens at http://127.0.0.1:$(PORT) (Ctrl+C closes it). Its pins:"
	@$(BIN)/flask --app examples.bank sealed pins
	@$(BIN)/flask --app examples.bank run --host 127.0.0.1 --port $(PORT)

test: .venv/test
	$(BIN)/python -m pytest

# Where no older cryptography has what is tested, and what tests the tests, stays out.
OLDEST = $(filter-out tests/test_driver.py,$(wildcard tests/test_*.py)) \
	tests/clients tests/stores tests/testing

oldest: .venv-oldest
	.venv-oldest/bin/python -m pytest -m "not kem" $(OLDEST)

bench: .venv/test
	$(BIN)/python -m tests.benchmarks

load: .venv/test
	$(BIN)/python -m tests.benchmarks.servers --minutes $(MINUTES)

rivals: .venv/rivals
	$(BIN)/python -m tests.benchmarks.page docs/_static/benchmarks.json
	$(BIN)/python -m tests.benchmarks.plots docs/_static/benchmarks.json docs/_static

rotation: .venv/test
	$(BIN)/python -m tests.benchmarks.rotation

soak: .venv/test
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

screenshots: .venv/test
	$(BIN)/python -m tools.screenshots

client: .venv/test
	$(BIN)/node tests/js/build.mjs flask_sealed/js/dist

docs: .venv/test
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

check: .venv/test docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	tools/check-wheel

fresh: .venv/test
	tools/fresh $(SUITE)

release: .venv/test
	rm -rf dist
	tools/build dist
	$(BIN)/cyclonedx-py requirements requirements/demo.txt --pyproject pyproject.toml --mc-type library \
		--output-reproducible -o dist/flask_sealed.cdx.json
	cd dist && sha256sum * > SHA256SUMS

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz

mutants: .venv/mutants
	$(BIN)/mutmut run 'flask_sealed.protocol.$(MODULE).*'
	$(BIN)/mutmut results

# The extras whose oldest versions `make oldest` has.
CORE_EXTRAS = --extra jwt --extra redis --extra httpx --extra requests

lock: .venv/test
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
		--no-header --upgrade --extra jwt pyproject.toml -o requirements/demo.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
		--no-header --upgrade --extra jwt --group dev -c requirements/demo.txt pyproject.toml \
		-o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --resolution lowest-direct $(CORE_EXTRAS) \
		--no-header pyproject.toml -o .venv/lowest.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
		--no-header --upgrade $(CORE_EXTRAS) --group tests -c .venv/lowest.txt pyproject.toml \
		-o requirements/oldest.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
		--no-header --upgrade --group mitmproxy -o requirements/mitmproxy.txt
	for group in fuzz mutants rivals; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras \
			--no-emit-index-url --no-header --upgrade --group $$group -c requirements/dev.txt \
			-o requirements/$$group.txt || exit 1; \
	done

clean:
	git clean -ffdXq

# Only what the demo needs.
.venv/demo: tools/setup requirements/demo.txt pyproject.toml
	PYTHON=$(PYTHON) tools/setup demo

# All that the tests, checks and documentation need, programs of the system included.
.venv/test: tools/setup requirements/dev.txt requirements/mitmproxy.txt pyproject.toml \
		tests/js/package-lock.json examples/angular/package-lock.json
	PYTHON=$(PYTHON) tools/setup test

.venv-oldest: requirements/oldest.txt
	$(PYTHON) -m venv --clear $@
	$@/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/oldest.txt
	$@/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .

# What only these need, on top of the others.
.venv/fuzz: .venv/demo requirements/fuzz.txt
	PYTHON=$(PYTHON) tools/setup fuzz

.venv/mutants: .venv/test requirements/mutants.txt
	PYTHON=$(PYTHON) tools/setup mutants

.venv/rivals: .venv/test requirements/rivals.txt tests/benchmarks/node/package-lock.json
	PYTHON=$(PYTHON) tools/setup rivals
