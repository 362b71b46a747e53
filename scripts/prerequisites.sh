#!/usr/bin/env bash
# Installs what `make test` needs beside Rust, Go and make, says what it installs, and is silent when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "prerequisites: $*" >&2; }

require() {
    if ! command -v "$1" >/dev/null; then
        say "$1 is missing: $2"
        exit 1
    fi
}

# A C compiler builds the compression and TLS libraries; venv isolates the Python packages; Node.js runs Perfetto's trace
# processor.
install_debian_packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    command -v apt-get >/dev/null || { say "no apt-get here: install ${missing[*]} by hand"; exit 1; }
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

download_go_modules() {
    cd "$1"
    if GOPROXY=off go mod download 2>/dev/null; then return; fi
    say "downloading the Go modules that $1/go.sum lists"
    go mod download
}

# Traces of every version of Go are made by that version, and read by the newest. One file names them all.
go_toolchains() {
    grep -o '"go1\.[0-9.]*"' profiles/gotrace/tests/support/go.rs | tr -d '"' | sort -u -V
}

download_go_toolchains() {
    local name
    for name in $(go_toolchains); do
        if GOTOOLCHAIN=$name GOPROXY=off go version >/dev/null 2>&1; then continue; fi
        say "downloading the Go toolchain $name"
        GOTOOLCHAIN=$name go version >/dev/null || say "$name is not to be had here: tests of its traces are left out"
    done
}

require cargo "install Rust 1.95 or newer, https://rustup.rs"
require go "install Go 1.26 or newer, https://go.dev/dl"
install_debian_packages
scripts/services/services.sh install
scripts/python-env.sh
scripts/viewers-env.sh
(download_go_modules tests/services/shop)
(download_go_modules tests/services/kiosk)
(download_go_modules tests/services/truth)
(download_go_modules bench/gotrace)
(download_go_modules instrumentation/go)
(download_go_modules instrumentation/go/tests)
(GOFLAGS=-modfile=newest.mod download_go_modules instrumentation/go/tests)
download_go_toolchains
(GOTOOLCHAIN=$(go_toolchains | tail -n 1) download_go_modules profiles/gotrace/tests/programs/accepts)
(GOTOOLCHAIN=$(go_toolchains | tail -n 1) download_go_modules profiles/gotrace/tests/programs/reference)
