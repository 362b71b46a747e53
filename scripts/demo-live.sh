#!/usr/bin/env bash
# The demo with the real service running live: PostgreSQL, Redis, shop, its load, and Spandrel pulling execution traces
# from shop all the time. Needs Go beside Rust; installs PostgreSQL and Redis from Debian's packages if missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo-steps.sh

load_seconds=15
# A slice of examples/live.yaml, the delay of its join, its flush, and a margin.
settle_seconds=18

cleanup() {
    stop_started
    if [ -n "${work-}" ]; then scripts/services/services.sh stop "$work/services"; fi
}

build_shop() {
    command -v go >/dev/null || fail "go is missing: install Go 1.26 or newer, https://go.dev/dl; \`make demo\` works without"
    heading "Building shop and its load generator"
    (cd tests/services/shop && CGO_ENABLED=0 go build -trimpath -o "$work/" ./cmd/shop ./cmd/load)
}

start_databases() {
    heading "Starting PostgreSQL and Redis"
    scripts/services/services.sh install
    # Where make runs as root, PostgreSQL runs as the user postgres, who must pass through the directory.
    chmod o+x "$work"
    scripts/services/services.sh start "$work/services"
    set -a
    # shellcheck source=/dev/null
    . "$work/services/env"
    set +a
}

start_shop() {
    heading "Starting shop on 127.0.0.1:8080, with /debug/pprof on 127.0.0.1:6060"
    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 start shop "$work/shop"
    local pid=$started_pid
    for _ in $(seq 150); do
        if grep -q '^shop ready' "$work/shop.log"; then
            grep '^shop ready' "$work/shop.log"
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$work/shop.log" >&2
    fail "shop did not start; its whole log is $work/shop.log"
}

wait_for_the_join() {
    heading "Waiting for the last execution trace, the join and the flush"
    for ((left = settle_seconds; left > 0; left--)); do
        printf '\r%3d s ' "$left"
        sleep 1
    done
    printf '\rdone  \n'
}

require_free_ports "${demo_ports[@]}" "8080 shop" "6060 shop's /debug/pprof"
build_spandrel
make_work_directory
trap cleanup EXIT
build_shop
start_databases
start_collector --config examples/live.yaml
start_shop

heading "Sending requests for $load_seconds s"
"$work/load" -target http://127.0.0.1:8080 -duration "${load_seconds}s" ||
    echo "demo: more requests failed than the load generator expects, see its table" >&2

wait_for_the_join
show_results
cleanup
say_where_to_look_next
