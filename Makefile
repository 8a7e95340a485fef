# `make` alone lists the targets. Everything is set up by the targets themselves: Rust and Node must be there, the rest
# is installed from the package registries.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# tools/ has launchers of forge, cast and anvil that keep the exit code; npm's own always exit 0.
export PATH := $(CURDIR)/tools:$(PATH):/usr/sbin

# forge lint and slither write caches of their own kind: in the build's folders they would make forge skip tests.
apart = FOUNDRY_OUT=scratch/$(1)/out FOUNDRY_CACHE_PATH=scratch/$(1)/cache

CARGO_DENY := 0.20.2
SLITHER := 0.11.6
HALMOS := 0.3.3

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

.PHONY: setup
setup: node_modules/.stamp ## Install the Solidity toolchain; takes seconds when it is there

# The stamp holds the lock file's hash, so that a changed lock file installs and an unchanged one does nothing.
node_modules/.stamp: package-lock.json package.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "Node 20 or later is needed: https://nodejs.org" >&2; exit 1; }
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum package-lock.json)" ]; then touch $@; else \
		echo "installing the Solidity toolchain from npm" && \
		npm ci --ignore-scripts --no-audit --no-fund && sha256sum package-lock.json >$@; fi

.PHONY: build
build: setup ## Build the salt402 command (target/debug/salt402)
	@command -v cargo >/dev/null || { echo "Rust 1.95 or later is needed: https://rustup.rs" >&2; exit 1; }
	cargo build --locked --package salt402-cli

.PHONY: demo
demo: build curl $(if $(filter real,$(MODEL)),model) ## One paid request on a real chain, shown step by step; MODEL=real sells a real model
	@MODEL=$(MODEL) tools/local.sh demo

.PHONY: up
up: build curl ## A chain, the contracts and salt402 on this machine, until Ctrl-C
	@tools/local.sh up

# A real model for the demonstration (MODEL=real), and for the tests that sell one.
.PHONY: model
model: scratch/llama/.stamp ## Build llama.cpp's server and fetch a model of 98 MB: ten minutes, once
scratch/llama/.stamp: tools/model/build.sh tools/model/requirements.txt | venv
	@tools/model/build.sh $(@D) && touch $@

# For forge: who pays and for which price, as in FLAGS="--ledger --legacy". docs/deploying.md lists them.
FLAGS ?=

.PHONY: deploy
deploy: setup ## Deploy what is missing on the chain of ETH_RPC_URL, and write deployments/; FLAGS="--ledger"
	@node tools/deploy.mjs run --slow $(FLAGS)

.PHONY: deploy-dry
deploy-dry: setup ## Say what deploy would send, from whom and for how much, and send nothing; ETH_FROM=0x…
	@node tools/deploy.mjs dry $(FLAGS)

.PHONY: verify
verify: setup ## Have an explorer verify the sources of the deployed contracts; SALT402_EXPLORER_URL=… SALT402_EXPLORER_KEY=…
	@node tools/verify.mjs $(CONTRACTS)

.PHONY: verification
verification: contracts ## Write the inputs that verify uses, deployments/verification/, after a contract was changed
	@node tools/verification.mjs write

.PHONY: test
test: lint test-tools test-contracts test-rust ## Lint and run every test that ends within minutes
	@echo "all checks and tests passed"

.PHONY: test-contracts
test-contracts: setup ## Test the contracts, their gas against snapshots/
	forge test

.PHONY: test-tools
test-tools: contracts ## Test the tools of deployment, against stand-ins of a node and of an explorer
	@node tools/verification.mjs check
	node --test tests/tools/*.test.mjs

# Installs Debian packages for the commands named, where they are missing. Elsewhere than on Debian they must be there.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
define need
	@missing=$$(for tool in $(1); do command -v $$tool >/dev/null || echo $$tool; done); \
	if [ -n "$$missing" ]; then \
		echo "installing" $$missing && $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$(sed 's/\bnginx\b/nginx-light/; s/\bscript\b/bsdutils/; s/\bprlimit\b/util-linux/; s/\bphp\b/php-cli/; s#[^ ]*tomcat10[^ ]*#tomcat10-common#' <<<$$missing); fi
endef

.PHONY: curl
curl:
	$(call need,curl)

.PHONY: caddy
caddy: ## Install Caddy and Python, for a paid path before a file server
	$(call need,caddy curl python3)

.PHONY: proxies
proxies: ## Install the proxies that tests put before a server (Caddy, nginx, HAProxy)
	$(call need,caddy nginx haproxy python3 openssl)

.PHONY: servers
servers: ## Install the servers that tests put behind a proxy (PHP, Tomcat), and a browser; Caddy, Python and Node are there
	$(call need,php chromium /usr/share/tomcat10/bin/catalina.sh)

.PHONY: terminal
terminal: ## Install what tests make a terminal with, and limit a process
	$(call need,script prlimit)

.PHONY: test-rust
test-rust: contracts proxies servers terminal ## Test the crates, and the whole stack on a real anvil
	@# Twice as many as there are cores: a test of the whole stack mostly waits for blocks.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( $$(getconf _NPROCESSORS_ONLN) * 2 ))} cargo test --locked --workspace

# Everything of others' that the tests use is pinned, and lies in ignored folders of tests/clients.
SDKS := tests/clients/sdks
.PHONY: clients
clients: tests/clients/node_modules/.stamp tests/clients/v1/node_modules/.stamp tests/clients/thirdweb/node_modules/.stamp $(SDKS)/node_modules/.stamp tests/clients/.venv/.stamp ## Install x402's own clients, servers and facilitator, and other clients that pay
	@cargo build --locked --quiet --manifest-path tests/clients/reqwest/Cargo.toml

.PHONY: x402-rs
x402-rs: ## Build the facilitator of x402-rs, beside which bench B6 measures ours
	cargo build --locked --release --manifest-path tests/clients/x402-rs/Cargo.toml

tests/clients/node_modules/.stamp: tests/clients/package-lock.json tests/clients/package.json
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing x402's packages from npm" && \
		npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund && sha256sum $< >$@; fi

tests/clients/v1/node_modules/.stamp: tests/clients/v1/package-lock.json tests/clients/v1/package.json
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing x402's packages of version 1 from npm" && \
		npm ci --prefix tests/clients/v1 --ignore-scripts --no-audit --no-fund && sha256sum $< >$@; fi

tests/clients/thirdweb/node_modules/.stamp: tests/clients/thirdweb/package-lock.json tests/clients/thirdweb/package.json
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing thirdweb from npm: minutes, once" && \
		npm ci --prefix tests/clients/thirdweb --legacy-peer-deps --ignore-scripts --no-audit --no-fund && sha256sum $< >$@; fi

tests/clients/.venv/.stamp: tests/clients/requirements.txt | venv
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing x402's packages from PyPI" && python3 -m venv --clear $(@D) && \
		$(@D)/bin/pip install --quiet --require-hashes --requirement $< && sha256sum $< >$@; fi

.PHONY: test-clients
test-clients: contracts clients curl caddy build ## Every client that there is pays our gateway (docs/clients.md), and x402's pay its servers through its own facilitator (FACILITATOR=salt402: through ours)
	node --test --test-concurrency=1 tests/clients/*.test.mjs

# The official SDKs that ask the gateway, pinned in folders of their own.
$(SDKS)/node_modules/.stamp: $(SDKS)/package-lock.json $(SDKS)/package.json
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing SDKs from npm" && \
		npm ci --prefix $(SDKS) --ignore-scripts --no-audit --no-fund && sha256sum $< >$@; fi

$(SDKS)/.venv/.stamp: $(SDKS)/requirements.txt | venv
	@if [ "$$(cat $@ 2>/dev/null)" = "$$(sha256sum $<)" ]; then touch $@; else \
		echo "installing SDKs from PyPI" && python3 -m venv --clear $(@D) && \
		$(@D)/bin/pip install --quiet --require-hashes --requirement $< && sha256sum $< >$@; fi

.PHONY: test-sdks
test-sdks: contracts build tests/clients/node_modules/.stamp $(SDKS)/node_modules/.stamp $(SDKS)/.venv/.stamp ## The official SDKs of OpenAI, Anthropic, LangChain, Vercel and LiteLLM ask our gateway and pay it
	node --test --test-concurrency=1 $(SDKS)/*.test.mjs

.PHONY: contracts
contracts: setup ## Compile the contracts into out/
	@forge build --quiet

.PHONY: test-long
test-long: setup prove model ## Long fuzz and invariant runs (an hour for the parsers), proofs, 10,000 simulated histories, 5,000 interleavings of requests and blocks, 20,000 requests to two facilitators, 100 kills of and 20,000 changed requests to ours, 1,000 requests of all kinds with kills, and a real model
	FOUNDRY_PROFILE=long forge test
	$(MAKE) fuzz FUZZ=200
	SIM_SEEDS=10000 cargo test --locked --release --package salt402-tests --test sim histories -- --nocapture
	PROPTEST_CASES=5000 cargo test --locked --release --package salt402-verifier --test verifier interleavings::
	PROPTEST_CASES=5000 cargo test --locked --release --package salt402-store --test store vouchers::
	CASES=20000 $(MAKE) test-clients
	FACILITATOR_KILLS=100 cargo test --locked --package salt402-cli --test e2e settlements_survive_kills -- --nocapture
	FACILITATOR_MUTATIONS=20000 cargo test --locked --package salt402-cli --test e2e whatever_is_changed -- --nocapture
	ACCOUNTED_REQUESTS=1000 cargo test --locked --package salt402-cli --test e2e every_base_unit -- --nocapture
	cargo test --locked --package salt402-cli --test e2e real_model -- --ignored

CARGO_FUZZ := 0.13.2
# Seconds for each parser.
FUZZ ?= 10

.PHONY: fuzz
fuzz: ## Fuzz every parser at the edge; FUZZ=60 is the seconds for each
	@cargo fuzz --version 2>/dev/null | grep -q ' $(CARGO_FUZZ)$$' || cargo install --locked cargo-fuzz@$(CARGO_FUZZ)
	@# libFuzzer's instrumentation is a flag of nightly compilers; the stable one has it too. No sanitizer: the code is safe Rust.
	@set -e; for target in $$(cargo fuzz list --fuzz-dir fuzz); do \
		echo "fuzzing $$target for $(FUZZ) s"; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz -s none $$target -- -max_total_time=$(FUZZ) -max_len=4096 -timeout=5 -verbosity=0; done

.PHONY: prove
prove: setup .venv/.halmos-$(HALMOS) ## Prove for all inputs that the contracts conserve money (halmos)
	FOUNDRY_TEST=tests/halmos $(call apart,halmos) .venv/bin/halmos --forge-build-out scratch/halmos/out --contract SaltPayCheck
	FOUNDRY_TEST=tests/halmos $(call apart,halmos) .venv/bin/halmos --forge-build-out scratch/halmos/out --contract SaltChannelsCheck

.PHONY: bench
bench: contracts ## Measure what design promises; B=B2 picks one
	cargo build --locked --release --package salt402-cli --package salt402-bench
	cargo run --locked --quiet --release --package salt402-bench -- $(B)

.PHONY: coverage
coverage: setup ## The share of the contracts' lines and branches that tests run
	FOUNDRY_PROFILE=coverage FORGE_SNAPSHOT_CHECK=false $(call apart,coverage) forge coverage --report summary \
		--no-match-path 'tests/forge/{gas/*,script/*,SaltChannels/gasEdges.t.sol}' --no-match-coverage '(tests|script|node_modules)'

.PHONY: gas
gas: setup ## Print the gas of whole transactions
	@forge test --match-path 'tests/forge/gas/*' --summary >/dev/null
	@node tools/gas.mjs

.PHONY: fmt
fmt: setup ## Format Rust and Solidity
	cargo fmt --all
	forge fmt

.PHONY: lint
lint: setup .venv/.slither-$(SLITHER) ## Check format, lints, dependencies and contracts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@# No circle of imports in a crate, and none up a floor.
	cargo run --locked --quiet --package salt402-rooms
	@# Built without lines for a debugger, and not in /tmp: it would leave gigabytes there, and some machines have no room.
	@cargo deny --version 2>/dev/null | grep -q ' $(CARGO_DENY)$$' || { \
		CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --target-dir scratch/cargo-deny cargo-deny@$(CARGO_DENY) && rm -rf scratch/cargo-deny; }
	cargo deny check bans licenses sources
	forge fmt --check
	$(call apart,forge-lint) forge lint
	@# slither.config.json leaves out what is never deployed from here (tests, the script) and what is other people's.
	@# Every other exclusion stands in the contracts, with its reason.
	$(call apart,slither) .venv/bin/slither . --fail-medium

.PHONY: audit
audit: ## Check dependencies against RustSec's advisories (needs the network)
	cargo deny check advisories

.venv/.slither-$(SLITHER): | .venv/bin/python
	.venv/bin/pip install --quiet slither-analyzer==$(SLITHER)
	@touch $@

.venv/.halmos-$(HALMOS): | .venv/bin/python
	.venv/bin/pip install --quiet halmos==$(HALMOS)
	@touch $@

.venv/bin/python: | venv
	python3 -m venv .venv

.PHONY: venv
venv:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "python3 with venv is needed; installing it" && $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv; }

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
	rm -rf scratch out cache broadcast .venv node_modules
