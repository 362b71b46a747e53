#!/usr/bin/env bash
# Tests the helper for Go services with every Go that it supports. Arguments go to `go test`, such as -race.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest_minor=25

# The versions stand in one file, for the tests of traces.
toolchains() {
    grep -o '"go1\.[0-9.]*"' profiles/gotrace/tests/support/go.rs | tr -d '"' | sort -u -V |
        awk -F . -v oldest="$oldest_minor" '$2 >= oldest'
}

test_with() {
    export GOTOOLCHAIN=$1
    shift
    echo "instrumentation/go with $GOTOOLCHAIN" >&2
    (cd instrumentation/go && go vet ./... && go test "$@" ./...)
    (cd instrumentation/go/tests && go vet ./... && go test "$@" ./...)
    # The newest SDK needs a newer Go than the helper does.
    case $GOTOOLCHAIN in go1.25.*) return ;; esac
    (cd instrumentation/go/tests && go test -modfile=newest.mod "$@" ./...)
}

tested=0
for name in $(toolchains); do
    if ! GOTOOLCHAIN=$name go version >/dev/null 2>&1; then
        echo "SKIPPED: the Go toolchain $name is not to be had here" >&2
        if [ "${CI:-}" = true ]; then exit 1; fi
        continue
    fi
    test_with "$name" "$@"
    tested=$((tested + 1))
done
if [ "$tested" -eq 0 ]; then
    echo "no toolchain was tested: is there a network, or Go 1.$oldest_minor or newer?" >&2
    exit 1
fi
