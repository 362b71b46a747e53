# The commands of this repository. Each one installs what it needs and says what that is.

CARGO ?= cargo
SHOP = tests/services/shop
GOTRACE_BENCH = $(CARGO) run --locked --release -p spandrel-bench --bin gotrace-bench --

.PHONY: help demo test lint audit record accuracy bench-gotrace profile-gotrace bench-attribution bench-replacement compose-check tables-doc gotrace-coverage fuzz fuzz-keep prerequisites

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build Spandrel, replay the bundled recording, show where the time went (LIVE=1: run the real service; needs Go)
	@if [ "$(LIVE)" = 1 ]; then scripts/demo-live.sh; else scripts/demo.sh; fi

test: prerequisites ## Run every test: those of Go services and their helper, then the workspace's
	scripts/test-instrumentation.sh
	cd $(SHOP) && go vet ./... && go test ./...
	cd tests/services/kiosk && go vet ./...
	cd tests/services/burner && go vet ./...
	cd tests/services/truth && go vet ./...
	cd bench/gotrace && go vet ./...
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace

lint: compose-check ## Check formatting, lints, licences, duplicate and foreign dependencies, docker-compose.yml
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	scripts/cargo-deny.sh check licenses bans sources

audit: ## Check dependencies for security advisories (downloads the RustSec database)
	scripts/cargo-deny.sh check advisories

record: ## Make examples/recording anew from the real service (needs Go, PostgreSQL, Redis)
	scripts/services/record.sh

accuracy: ## Compare attribution with causes that were injected and measured; fails below its aims (REQUESTS=250, SEED=1, ONLY=words, UPDATE=1: docs/accuracy.md; needs Go)
	@$(CARGO) run --quiet --locked -p spandrel-tests --example accuracy -- --requests $(or $(REQUESTS),250) \
		--seed $(or $(SEED),1) $(if $(ONLY),--only '$(ONLY)') $(if $(filter 1,$(UPDATE)),--update)

bench-gotrace: ## Measure the decoder of Go traces against Go's reader (QUICK=1, CORES=1,2, UPDATE=1: docs/benchmarks.md; needs Go)
	@$(GOTRACE_BENCH) $(if $(filter 1,$(QUICK)),--quick) $(if $(CORES),--cores $(CORES)) \
		$(if $(filter 1,$(UPDATE)),--update docs/benchmarks.md) $(ARGS)

bench-replacement: ## Measure what corrections of stored rows cost (a release build of the store: some minutes)
	@$(CARGO) run --quiet --locked --release -p spandrel-store --example replacement-cost

profile-gotrace: ## Count what its stages spend on an event, by function (STAGE=columns FILE=x.trace; needs valgrind)
	@$(GOTRACE_BENCH) profile $(if $(STAGE),--stage '$(STAGE)') $(FILE)

bench-attribution: ## Measure the join of spans with task states, and DuckDB's beside it (QUICK=1, UPDATE=1: docs/benchmarks.md)
	@$(CARGO) run --locked --release -p spandrel-bench --bin attribution-bench -- $(if $(filter 1,$(QUICK)),--quick) \
		$(if $(filter 1,$(UPDATE)),--update docs/benchmarks.md) $(ARGS)

compose-check: ## Check docker-compose.yml with the loader of Docker Compose itself (needs Go, not Docker)
	scripts/compose-check.sh

tables-doc: ## Make docs/tables.md anew from the schemas
	$(CARGO) run --quiet -p spandrel-tests --example tables-doc > docs/tables.md

gotrace-coverage: ## Make docs/gotrace-coverage.md anew from traces by every Go toolchain (needs Go and a C compiler)
	$(CARGO) test --locked -p gotrace --test go_reader -- --ignored --exact writes_the_coverage_table

fuzz: ## Fuzz the decoder of Go traces, or of pprof (MINUTES=8; TARGET=header, batch, generation, whole_file or pprof; needs rustup and a C++ compiler)
	@scripts/fuzz.sh $(or $(MINUTES),8) $(TARGET)

fuzz-keep: ## Move what `make fuzz` has found worth keeping into the corpus (TARGET as for fuzz)
	@scripts/fuzz.sh keep $(TARGET)

prerequisites: ## Install what the tests need: Debian packages, Python packages into .tools, Go modules
	@scripts/prerequisites.sh
