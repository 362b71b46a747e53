# The commands of this repository. Each one installs what it needs and says what that is.

CARGO ?= cargo
SHOP = tests/services/shop

.PHONY: help demo test lint audit record compose-check tables-doc gotrace-coverage prerequisites

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build Spandrel, replay the bundled recording, show where the time went (LIVE=1: run the real service; needs Go)
	@if [ "$(LIVE)" = 1 ]; then scripts/demo-live.sh; else scripts/demo.sh; fi

test: prerequisites ## Run every test: the Go service's, then the workspace's
	cd $(SHOP) && go vet ./... && go test ./...
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

compose-check: ## Check docker-compose.yml with the loader of Docker Compose itself (needs Go, not Docker)
	scripts/compose-check.sh

tables-doc: ## Make docs/tables.md anew from the schemas
	$(CARGO) run --quiet -p spandrel-tests --example tables-doc > docs/tables.md

gotrace-coverage: ## Make docs/gotrace-coverage.md anew from traces by every Go toolchain (needs Go and a C compiler)
	$(CARGO) test --locked -p gotrace --test go_reader -- --ignored --exact writes_the_coverage_table

prerequisites: ## Install what the tests need: Debian packages, Python packages into .tools, Go modules
	@scripts/prerequisites.sh
