#!/bin/sh
# A rabbitmq-server of its own, four processes of Orderly, and two orders that go through all of them.
# AMQP_PORT, if it is set, is the broker's port; the next two are its, too.
set -eu
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || { echo "rabbitmq-server is not here: apt install rabbitmq-server" >&2; exit 1; }
here=$(dirname "$0")
store=$(mktemp -d)
port=${AMQP_PORT:-15673}
echo '[].' >"$store/plugins"
printf 'listeners.tcp.1 = 127.0.0.1:%s\n' "$port" >"$store/rabbitmq.conf"
export HOME="$store" RABBITMQ_NODENAME="orderly$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
    RABBITMQ_DIST_PORT=$((port + 1)) ERL_EPMD_PORT=$((port + 2)) ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_MNESIA_BASE="$store/mnesia" RABBITMQ_LOG_BASE="$store/log" \
    RABBITMQ_CONFIG_FILE="$store/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$store/plugins" \
    RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
epmd -port $ERL_EPMD_PORT -address 127.0.0.1 &
names=$!
setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$store/output" 2>&1 &
broker=$!
trap 'set +e; kill -- -$broker 2>/dev/null; wait $broker; kill $names 2>/dev/null; rm -rf "$store"' EXIT
trap 'exit 1' INT TERM
for _ in $(seq 600); do
    ! grep -q 'completed with' "$store/output" || break
    kill -0 $broker 2>/dev/null || { echo "rabbitmq-server does not start; is one of the ports $port to $((port + 2)) taken? AMQP_PORT names another." >&2; tail -n 3 "$store/output" | cut -c 1-300 >&2; exit 1; }
    sleep 0.1
done
"$here/four_processes.sh" "amqp://127.0.0.1:$port"
