#!/bin/sh
# Both flows over four processes, one context each, with a broker between them: starts them, places an
# order of each flow, and shows both arriving. 'nats.sh' and 'rabbitmq.sh' start the broker, too.
#
# usage: four_processes.sh URL          such as nats://127.0.0.1:4222, amqp://127.0.0.1:5672
#
# ORDERLY names the program, build/release/orderly if it is not set. Everything is below a folder of
# its own, which goes when the script ends; the processes end with it. At the broker they have a
# channel and groups of their own, so that no other shop's orders are charged here, nor these there; the
# stream, the topic, or the exchange and queues of those names stay there.
set -eu
[ $# = 1 ] || { echo "usage: four_processes.sh URL, such as nats://127.0.0.1:4222" >&2; exit 2; }
url=$1
orderly=${ORDERLY:-$(dirname "$0")/../build/release/orderly}
[ -x "$orderly" ] || { echo "there is no $orderly; './dev run' builds it, and its adapters of the brokers whose libraries are here" >&2; exit 1; }
case $url in
nats:* | tls:*) relay=nats ;;
kafka*) relay=kafka ;;
*) relay=rabbitmq ;;
esac
channel=example-$(date +%s)-$$
folder=

# However the script ends, all that it has started ends before it.
end() {
    trap '' HUP INT PIPE TERM
    set +e
    [ -n "$folder" ] || return
    jobs -p >"$folder/jobs"
    # shellcheck disable=SC2046 # a list of numbers
    kill $(cat "$folder/jobs") 2>/dev/null
    wait
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE # nobody reads what it shows
trap 'exit 143' TERM
folder=$(mktemp -d)

# start CONTEXT: on a free port, which its first line names; until it hears what others say. An order that
# is placed before would go past it, where the broker is RabbitMQ: its queue has what came since it was made.
start() {
    : >"$folder/$1.out"
    "$orderly" serve --contexts "$1" --data "$folder/$1" --relay "$url" --listen 127.0.0.1:0 \
        --set "relay.$relay.channel=$channel" --set "relay.$relay.group=$channel-$1" \
        --demo --set log.audit=false >"$folder/$1.out" 2>"$folder/$1.log" &
    started=$!
    for _ in $(seq 600); do
        ! hears "$1" || return 0
        kill -0 $started 2>/dev/null || break
        sleep 0.1
    done
    echo "$1 did not start, or does not find the broker:" >&2
    cat "$folder/$1.log" >&2
    exit 1
}

hears() {
    grep -q '^listening' "$folder/$1.out" &&
        curl -sf "$(at "$1")/metrics" | grep -q '^orderly_relay_connected.* 1$'
}

# arrives ORDER FLOW STATUS: waits until it does, and ends with what the processes say where it does not.
# A second at a time, because a shell heeds no signal while it waits for an answer.
arrives() {
    for _ in $(seq 60); do
        status=$(curl -sf "$orders/orders/$1?until=$3&wait=1s" | field status)
        [ "$status" != "$3" ] || break
    done
    echo "order $1 of $2: $status"
    [ "$status" != "$3" ] || return 0
    echo "that is not $3; what the processes warn of:" >&2
    grep -h ' level=warn \| level=error ' "$folder"/*.log | sort -u -t' ' -k3 | tail -n 10 >&2
    exit 1
}

at() { sed -n 's/^listening on //p' "$folder/$1.out"; }

field() { grep -o "\"$1\":\"[^\"]*" | head -n 1 | cut -d'"' -f4; }

for context in orders payments inventory shipments; do
    start $context
    echo "$context: $(at $context)"
done
orders=$(at orders)
address='{"street":"1 Main St","city":"Springfield","postalCode":"62701","country":"US"}'

order=$(curl -sf "$orders/orders" --json "{\"customerId\":\"me\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":2}],\"shippingAddress\":$address}" | field orderId)
arrives "$order" stock_first SHIPPED

cart=$(curl -sf "$orders/carts" --json '{"customerId":"me"}' | field cartId)
curl -sf "$orders/carts/$cart/items" --json '{"productId":"MUG-CERAMIC-001","quantity":1}' >"$folder/cart"
order=$(curl -sf "$orders/orders/checkout" --json "{\"cartId\":\"$cart\",\"shippingAddress\":$address}" | field orderId)
arrives "$order" pay_first STOCK_RESERVED

for context in payments inventory shipments; do
    echo "what $context decided:"
    curl -sf "$(at $context)/messages?limit=500" | grep -o '"topic":"[^"]*' | cut -d'"' -f4 |
        grep -Ev '^(order|product)\.' | sort | uniq -c
done
