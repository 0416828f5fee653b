#!/bin/sh
# A rabbitmq-server of its own, four processes of Orderly, and two orders that go through all of them.
# AMQP_PORT, if it is set, is the broker's port; the next two are its, too.
set -eu
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || { echo "rabbitmq-server is not here: apt install rabbitmq-server" >&2; exit 1; }
here=$(dirname "$0")
port=${AMQP_PORT:-15673}
store='' names='' broker='' shop=''

# However the script ends, all that it has started ends before it. The broker is killed: while it starts it
# does not heed a gentler word, and what it keeps goes with it.
end() {
    trap '' HUP INT PIPE TERM
    set +e
    if [ -n "$shop" ]; then
        kill "$shop" 2>/dev/null
        wait "$shop"
    fi
    if [ -n "$broker" ]; then
        kill -s KILL "$broker" 2>/dev/null
        kill -s KILL -- "-$broker" 2>/dev/null # what it has started
    fi
    [ -z "$names" ] || kill "$names" 2>/dev/null
    wait
    [ -n "$store" ] || return
    for _ in $(seq 100); do # what was killed may still be about to write
        ! rm -rf "$store" 2>/dev/null || break
        sleep 0.1
    done
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE # nobody reads what it shows
trap 'exit 143' TERM
store=$(mktemp -d)
echo '[].' >"$store/plugins"
printf 'listeners.tcp.1 = 127.0.0.1:%s\n' "$port" >"$store/rabbitmq.conf"
export HOME="$store" RABBITMQ_NODENAME="orderly$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
    RABBITMQ_DIST_PORT=$((port + 1)) ERL_EPMD_PORT=$((port + 2)) ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_MNESIA_BASE="$store/mnesia" RABBITMQ_LOG_BASE="$store/log" \
    RABBITMQ_CONFIG_FILE="$store/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$store/plugins" \
    RABBITMQ_CONF_ENV_FILE=/dev/null ERL_CRASH_DUMP_SECONDS=0 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
taken="rabbitmq-server does not start; is one of the ports $port to $((port + 2)) taken? AMQP_PORT names another."
# Started before the broker, which would start one that outlives it.
epmd -port $ERL_EPMD_PORT -address 127.0.0.1 &
names=$!
until epmd -port $ERL_EPMD_PORT -names >"$store/names" 2>&1; do
    kill -0 $names 2>/dev/null || { echo "$taken" >&2; exit 1; }
    sleep 0.1
done
setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$store/output" 2>&1 &
broker=$!
for _ in $(seq 1800); do
    ! grep -q 'completed with' "$store/output" || break
    kill -0 $broker 2>/dev/null || { echo "$taken" >&2; tail -n 3 "$store/output" | cut -c 1-300 >&2; exit 1; }
    sleep 0.1
done
# In the background, because a shell heeds no signal while it waits for a program before it.
"$here/four_processes.sh" "amqp://127.0.0.1:$port" &
shop=$!
wait $shop
