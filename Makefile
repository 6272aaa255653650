# Few targets, each a thing people do. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build test lint fleet fleet-down demo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build the program (target/release/dockmaster)
	cargo build --release

test: ## all tests; as root also those on three real hosts, which it makes and removes
	tests/prepare.sh
	cargo test

lint: ## formatting and lints, as CI checks them
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

fleet: ## make three real test hosts and leave them running (root)
	tests/fleet/fleet.sh up 3

fleet-down: ## remove the test hosts
	tests/fleet/fleet.sh down

demo: ## watch Dockmaster hold three real hosts through a power cut (root)
	tests/demo/demo.sh
