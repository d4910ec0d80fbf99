# Everything happens in a virtual environment of the project's own; nothing is installed into the system, except
# that "make peers" fetches the programs that the interoperability tests talk to.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export CARGO_TARGET_DIR ?= $(CURDIR)/target

RUST   := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
CRATES := --workspace --exclude caponier-python

.PHONY: help demo test unit lint fmt bench bench-ike soak docs build peers clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1|/' | column -t -s '|'

demo: build  ## two gateways and their hosts on this machine; KEEP=1 leaves them running, DOWN=1 ends them
	@$(BIN)/caponier demo $(if $(KEEP),--keep) $(if $(DOWN),--down)

test: build $(VENV)/.tools peers  ## every test; as root it includes network namespaces and real peers
	cargo test --release --locked --quiet $(CRATES)
	$(BIN)/pytest

unit: build $(VENV)/.tools  ## the tests that need no privilege and no peer
	$(BIN)/pytest tests/unit tests/wire tests/exchange

lint: build $(VENV)/.tools  ## formatting, types, layers, spelling; warnings are errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings

fmt: $(VENV)/.tools  ## format Python and Rust
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	cargo fmt --all

bench: build $(VENV)/.tools  ## beside the bare link and other tunnels, in turns; ARGS="--help" tells more
	@bench/install-contenders.sh
	$(BIN)/python -m bench $(ARGS)

bench-ike: build  ## what IKE costs: handshakes, memory of 10 000 peers, timers; ARGS="--help" tells more
	@$(BIN)/python -m bench.ike $(ARGS)

soak: build  ## mixed traffic for MINUTES=1, and both sides' counters of every SA side by side; ARGS="--help" tells more
	@$(BIN)/python -m soak --minutes $(or $(MINUTES),1) $(ARGS)

docs: $(VENV)/.docs  ## the manual, into site/
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

build: $(VENV)/.built  ## the virtual environment with Caponier in it

peers:
	@tests/interop/install-peers.sh

clean:  ## remove what was built
	rm -rf $(VENV) site target src/caponier/_plane*.so

$(VENV)/.venv:
	@scripts/require.sh "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.maturin: $(VENV)/.venv constraints.txt
	@echo "fetching the build tool"
	@$(BIN)/pip install --quiet maturin
	@touch $@

$(VENV)/.built: $(VENV)/.maturin pyproject.toml constraints.txt $(RUST)
	@echo "building the packet core (two to four minutes the first time)"
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked
	@touch $@

$(VENV)/.tools: $(VENV)/.built
	@echo "fetching the tools for tests and lint"
	@$(BIN)/pip install --quiet 'caponier[test,lint]'
	@touch $@

$(VENV)/.docs: $(VENV)/.venv constraints.txt
	@$(BIN)/pip install --quiet mkdocs-material
	@touch $@
