#!/bin/sh
# A nats-server with JetStream, four processes of Orderly, and two orders that go through all of them.
# NATS_PORT, if it is set, is the broker's port.
set -eu
command -v nats-server >/dev/null || { echo "nats-server is not here: apt install nats-server" >&2; exit 1; }
here=$(dirname "$0")
store=$(mktemp -d)
port=${NATS_PORT:-14222}
nats-server -a 127.0.0.1 -p "$port" -js -sd "$store" >"$store/log" 2>&1 &
broker=$!
trap 'set +e; kill $broker 2>/dev/null; wait; rm -rf "$store"' EXIT
trap 'exit 1' INT TERM
for _ in $(seq 300); do
    ! grep -q 'Server is ready' "$store/log" || break
    kill -0 $broker 2>/dev/null || { echo "nats-server does not start; is port $port taken? NATS_PORT names another." >&2; tail -n 5 "$store/log" >&2; exit 1; }
    sleep 0.1
done
"$here/four_processes.sh" "nats://127.0.0.1:$port"
