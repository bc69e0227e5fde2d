# Proa's commands. `make` alone explains them. The system packages that a command needs, it installs by itself.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin

# What `make build` builds: test-release is nearly release but quick to build; release is what to deploy.
PROFILE ?= test-release
# Seconds that each fuzz target runs under `make fuzz`.
FUZZ_SECONDS ?= 300
# Namespace tests to run: parts of their names, all when empty.
TESTS ?=

# Overlays that `make simulate` draws.
SEEDS ?= 10

# Minutes that `make soak` takes.
MINUTES ?= 10

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help:
	@printf '%s\n' \
	  'Proa: two hulls, one course.' \
	  '' \
	  '  make build    build proa, proactl and proa-server into $(TARGET_DIR)/$(PROFILE)  (PROFILE=release to deploy)' \
	  '  make demo     watch a transfer survive the death of a path, then 2 % loss on both' \
	  '  make test     every test: format, lints, unit, property, simulator, fuzz, dissector, namespaces' \
	  '  make e2e      the namespace tests alone  (TESTS="mtu reload" to choose)' \
	  '  make show     figures: fail-over of streams, what hostile packets achieve, real programs through the NAT' \
	  '  make soak     ten minutes of traffic through the lab: memory must stay flat  (MINUTES=10)' \
	  '  make simulate protocols over 1,000 nodes, several overlays: least, median, most  (SEEDS=10)' \
	  '  make bench    nanoseconds and allocations per stage, Mpps per role beside l3fwd and OVS-DPDK' \
	  '  make fuzz     fuzz each parser for FUZZ_SECONDS (default $(FUZZ_SECONDS))' \
	  '  make lint     format, clippy and shellcheck' \
	  '  make clean    remove what was built' \
	  '' \
	  'Debian 12 or Ubuntu with Rust is enough to start from; missing system packages are installed' \
	  'with apt-get. The demo, the namespace tests and the benchmarks need root.'

.PHONY: build
build:
	@scripts/setup.sh build
	cargo build --profile $(PROFILE) -p proa-appliance -p proa-ctl -p proa-server

.PHONY: test
test:
	@scripts/test.sh

.PHONY: e2e
e2e:
	@scripts/setup.sh build test
	cargo build --profile test-release -p proa-appliance -p proa-ctl -p proa-server
	@BIN=$(TARGET_DIR)/test-release tests/e2e/run.sh $(TESTS)

.PHONY: demo
demo:
	@tests/e2e/demo.sh

.PHONY: show
show:
	@scripts/setup.sh build test
	cargo build --profile test-release -p proa-appliance -p proa-ctl -p proa-server
	@BIN=$(TARGET_DIR)/test-release tests/e2e/show_failover.sh
	@BIN=$(TARGET_DIR)/test-release tests/e2e/show_nat.sh

.PHONY: soak
soak:
	@scripts/setup.sh build test
	cargo build --profile test-release -p proa-appliance -p proa-ctl -p proa-server
	@BIN=$(TARGET_DIR)/test-release tests/e2e/show_soak.sh $(MINUTES)

.PHONY: simulate
simulate:
	@scripts/setup.sh build
	cargo run --profile test-release -p proa-tests --bin simulate -- $(SEEDS)

.PHONY: bench
bench:
	@scripts/setup.sh build bench hugepages
	@bench/run.sh

.PHONY: fuzz
fuzz:
	@scripts/setup.sh build test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

.PHONY: lint
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	shellcheck -x -P SCRIPTDIR scripts/*.sh tests/e2e/*.sh

.PHONY: clean
clean:
	cargo clean
