#!/usr/bin/env bash
# Builds Spandrel, starts it with its default configuration, feeds it the recording of a real service over real OTLP,
# and shows where the time of its slowest operations went. Needs Rust and GNU make only.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo-steps.sh

require_free_ports "${demo_ports[@]}"
build_spandrel
make_work_directory
trap stop_started EXIT
start_collector

heading "Replaying examples/recording: OTLP requests and execution traces of a Go service"
"$spandrel" replay examples/recording

show_results
stop_started
say_where_to_look_next
