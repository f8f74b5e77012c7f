# Every command sets up what it needs (under target/), says what it does, ends by itself, and exits non-zero on failure.
# It asks of the machine: rustup, python3 with venv, make, git, cc (Debian, Ubuntu: apt-get install python3-venv make git gcc libc6-dev).
# A line `target: ## text` is a line of `make help`; targets whose program is not there yet are left out.

PYTHON := target/venv/bin/python
CHECKS := fmt deny clippy test-docs test-native test-node test-module test-envoy
.PHONY: help wasm test $(CHECKS) advisories demo bench container-test setup clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | while IFS='	' read -r name says; do \
	    needs=$$(sed -n "s/^program-$$name := //p" Makefile); \
	    [ -z "$$needs" ] || [ -e "$$needs" ] || continue; \
	    printf '  make %-16s %s\n' "$$name" "$$says"; done

wasm: ## build target/postern.wasm and say its size, digest and imports
	@envoy-test/setup/module

test: ## everything that a change must pass; the last line is `N passed, N failed`
	@python3 tests/run.py

fmt: ## one part of the test: the format
deny: ## one part of the test: licences, sources, duplicate crates
clippy: ## one part of the test: the lints, native and wasm
test-docs: ## one part of the test: the manual against the code, the manifests against Istio's schema
test-native: ## one part of the test: level 1, native
test-node: ## one part of the test: level 2, the core as wasm under node
test-module: ## one part of the test: level 3, the built module in a host of ours
test-envoy: ## one part of the test: level 4, the built module in the real Envoy
$(filter-out clippy,$(CHECKS)):
	@python3 tests/run.py $@
clippy:
	@python3 tests/run.py clippy clippy-module clippy-node

advisories: ## look for known vulnerabilities in the crates we use (needs the advisory database)
	@envoy-test/setup/advisories

program-demo := envoy-test/demo/main.py
demo: ## real Envoy, real client, real module: allowed, refused, recorded (KEEP=1 leaves it running)
	@envoy-test/setup/venv
	@envoy-test/setup/module
	@$(PYTHON) $(program-demo)

program-bench := envoy-test/bench/main.py
bench: ## CPU and latency per request, bare Envoy and native filters beside us: target/bench/report.md
	@envoy-test/setup/venv
	@envoy-test/setup/module
	@envoy-test/setup/rust $(PYTHON) $(program-bench)

program-container-test := envoy-test/container/test
container-test: ## the level 4 scenarios in an Envoy in a local container
	@$(program-container-test)

setup: ## install what `make test` needs, and nothing else
	@envoy-test/setup/rust
	@envoy-test/setup/venv
	@envoy-test/setup/wasm-opt
	@envoy-test/setup/wasm-std
	@envoy-test/setup/wasm-runner
	@envoy-test/setup/cargo-deny

clean: ## remove everything that was built or installed under target/
	rm -rf target
