# Few targets, each a thing people do. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build test test-long soak lint fuzz bench fleet fleet-down demo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build the program (target/release/dockmaster)
	cargo build --release

test: ## all tests; as root also those on real hosts, which it makes and removes
	tests/prepare.sh
	cargo test

test-long: ## the tests that take long: a virtual day, a thousand reloads, 200 times kill -9
	tests/prepare.sh
	cargo test --lib -- --ignored
	DOCKMASTER_LONG=1 cargo test --test fleet

SOAK_KILLS ?= 2000
soak: ## kill -9 under load for hours (SOAK_KILLS times; DOCKMASTER_SEED begins elsewhere)
	tests/prepare.sh
	DOCKMASTER_LONG=1 DOCKMASTER_KILLS=$(SOAK_KILLS) cargo test --test fleet -- kill9

lint: ## formatting and lints, as CI checks them
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo fmt --check --manifest-path benches/Cargo.toml
	cargo clippy --manifest-path benches/Cargo.toml --target-dir target --all-targets -- -D warnings

# Coverage for libFuzzer by flags that every compiler has; the target keeps them away from build scripts.
FUZZ_FLAGS := --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table)
FUZZ_TARGET := $(shell rustc -vV | sed -n 's/host: //p')
FUZZ_SECONDS ?= 60
fuzz: ## let libFuzzer try the readers of hosts files and ssh configurations (FUZZ_SECONDS each)
	for name in hosts ssh_config; do \
	    mkdir -p target/fuzz/corpus/$$name; \
	    RUSTFLAGS="$(FUZZ_FLAGS)" cargo run --release --target $(FUZZ_TARGET) --target-dir target/fuzz \
	        --manifest-path tests/fuzz/Cargo.toml --bin $$name -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
	        $(CURDIR)/target/fuzz/corpus/$$name $(CURDIR)/tests/corpus/$$name || exit 1; \
	done

bench: ## time the ways to an engine side by side and write benches/RESULTS.md (root; BENCH_ROUNDS)
	benches/bench.sh

fleet: ## make three real test hosts and leave them running (root)
	tests/fleet/fleet.sh up 3

fleet-down: ## remove the test hosts
	tests/fleet/fleet.sh down

demo: ## watch Dockmaster hold three real hosts through a power cut (root)
	tests/demo/demo.sh
