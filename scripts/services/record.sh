#!/usr/bin/env bash
# Record examples/recording anew: real shop, load, PostgreSQL and Redis on this machine. Needs Go; takes about a minute.
#
#   record.sh [argument of cmd/record ...]      e.g. record.sh -duration 20s
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap '"$here/services.sh" stop "$work/services"; rm -rf "$work"' EXIT

"$here/services.sh" install
# -trimpath and the relative paths below keep this machine's folders out of the recorded stacks and the manifest.
(cd "$root/tests/services/shop" && CGO_ENABLED=0 go build -trimpath -o "$work/" ./cmd/...)
chmod o+x "$work" # The postgres user passes through it.
"$here/services.sh" start "$work/services" >/dev/null
set -a
# shellcheck source=/dev/null
. "$work/services/env"
set +a
cd "$work"
./record -out recording "$@"

mkdir -p "$root/examples/recording"
rm -rf "$root/examples/recording/"{otlp,profiles,manifest.json}
cp -r recording/. "$root/examples/recording/"
echo "record: $(du -sk "$root/examples/recording" | cut -f1) KiB in examples/recording" >&2
