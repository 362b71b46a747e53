#!/usr/bin/env bash
# Fuzzes the decoders of profiles with one worker, and says which input broke which promise.
#
#   fuzz.sh MINUTES [TARGET]    header, batch, generation or whole_file of Go execution traces, default: these four, one after
#                               the other; or pprof, whose first build takes minutes
#   fuzz.sh keep [TARGET]       moves the few found inputs that reach more code than the corpus into the corpus
#
# Starts from the folder corpus of the crate, of Go traces also from seeds made of the tests', and from what earlier runs found.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.13.2
tools=${SPANDREL_CI_CACHE:-$HOME/.cache/spandrel}/tools
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
declare -A longest_bytes=([header]=64 [batch]=2048 [generation]=600 [whole_file]=8192 [pprof]=4096)
targets=(${2:-whole_file batch generation header})
case ${targets[0]} in
pprof) fuzz=profiles/fuzz ;;
*) fuzz=profiles/gotrace/fuzz ;;
esac
# A decoder whose memory or time is not in proportion to such inputs fails.
limits=(-timeout=5 -malloc_limit_mb=64 -rss_limit_mb=1024)

say() { echo "fuzz: $*" >&2; }

install_tools() {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        say "installing the nightly toolchain, which has the sanitizers"
        rustup toolchain install nightly --profile minimal >&2
    fi
    if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
        say "installing cargo-fuzz $version into $tools"
        CARGO_TARGET_DIR="$tools/build" cargo install --quiet --locked --force --root "$tools" "cargo-fuzz@$version"
        rm -rf "$tools/build"
    fi
}

# Optimized, with checks of overflow.
build() {
    say "building the targets"
    RUSTUP_TOOLCHAIN=nightly CARGO_TARGET_DIR="$work/build" "$tools/bin/cargo-fuzz" fuzz build --fuzz-dir "$fuzz" --release --debug-assertions
}

write_seeds() {
    mkdir -p "$work/seeds/${targets[0]}"
    [ "$fuzz" = profiles/gotrace/fuzz ] || return 0
    FUZZ_SEEDS="$work/seeds" cargo test --quiet --locked -p gotrace --test fuzz_corpus -- \
        --ignored --exact writes_the_seeds >/dev/null
}

program() { echo "$work/build/$(rustc +nightly -vV | sed -n 's/^host: //p')/release/$1"; }

fuzz() { # TARGET SECONDS
    local target=$1 seconds=$2 log=$work/$1.log
    mkdir -p "$work/found/$target" "$work/failed/$target"
    if ! nice "$(program "$target")" "${limits[@]}" -max_len="${longest_bytes[$target]}" -max_total_time="$seconds" \
        -print_final_stats=1 -artifact_prefix="$work/failed/$target/" \
        "$work/found/$target" "$fuzz/corpus/$target" "$work/seeds/$target" >"$log" 2>&1; then
        say "$target: a promise is broken; log $log, input:"
        grep -aoE 'written to .*' "$log" >&2
        return 1
    fi
    local executions coverage
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -aoE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
    say "$target: $executions executions in $seconds s, $coverage"
}

# Keeps a few short inputs that together reach all code that was reached; the corpus stays what it is beside that.
keep() {
    local target
    for target in "${targets[@]}"; do
        mkdir -p "$work/found/$target"
        "$(program "$target")" "${limits[@]}" -set_cover_merge=1 -use_counters=0 -max_len=4096 \
            "$fuzz/corpus/$target" "$work/found/$target" >"$work/$target.log" 2>&1
        say "$target: $(ls "$fuzz/corpus/$target" | wc -l) inputs in the corpus"
    done
}

install_tools
build
if [ "$1" = keep ]; then
    keep
    exit
fi
write_seeds
failed=0
for target in "${targets[@]}"; do
    fuzz "$target" $(($1 * 60 / ${#targets[@]})) || failed=1
done
exit $failed
