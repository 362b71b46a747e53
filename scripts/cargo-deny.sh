#!/usr/bin/env bash
# Runs cargo-deny at a pinned version, and builds it first if it is missing.
#
#   cargo-deny.sh check licenses bans sources
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=${SPANDREL_CI_CACHE:-$HOME/.cache/spandrel}/tools
program=$tools/bin/cargo-deny

if [ "$("$program" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    echo "installing cargo-deny $version into $tools (built from crates.io; a few minutes)" >&2
    # It is run a few times, not for hours: building it quickly matters more than its speed.
    CARGO_TARGET_DIR="$tools/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
        cargo install --quiet --locked --force --root "$tools" "cargo-deny@$version"
    rm -rf "$tools/build"
fi
exec "$program" --locked "$@"
