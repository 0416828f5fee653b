#!/bin/sh
# A nats-server with JetStream, four processes of Orderly, and two orders that go through all of them.
# NATS_PORT, if it is set, is the broker's port.
set -eu
PATH=$PATH:/usr/sbin # where Debian has it, and users do not look
command -v nats-server >/dev/null || { echo "nats-server is not here: apt install nats-server" >&2; exit 1; }
here=$(dirname "$0")
port=${NATS_PORT:-14222}
store=

# However the script ends, all that it has started ends before it.
end() {
    trap '' HUP INT PIPE TERM
    set +e
    [ -n "$store" ] || return
    jobs -p >"$store/jobs"
    # shellcheck disable=SC2046 # a list of numbers
    kill $(cat "$store/jobs") 2>/dev/null
    wait
    rm -rf "$store"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE # nobody reads what it shows
trap 'exit 143' TERM
store=$(mktemp -d)
nats-server -a 127.0.0.1 -p "$port" -js -sd "$store" >"$store/log" 2>&1 &
broker=$!
for _ in $(seq 300); do
    ! grep -q 'Server is ready' "$store/log" || break
    kill -0 $broker 2>/dev/null || { echo "nats-server does not start; is port $port taken? NATS_PORT names another." >&2; tail -n 5 "$store/log" >&2; exit 1; }
    sleep 0.1
done
# In the background, because a shell heeds no signal while it waits for a program before it.
"$here/four_processes.sh" "nats://127.0.0.1:$port" &
wait $!
