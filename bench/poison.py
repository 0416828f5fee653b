"""Do orders whose payment can't be handled slow down the others?

Posts ten thousand orders at a rate well below the peak, to a server without poison and to one whose
Payments fail for 1 % of the orders whatever happens (simulators.payments.poisonRate): these are retried,
then parked. The time of the good ones from being placed to SHIPPED is taken from the log itself
(occurredAt, in milliseconds). Then the poison is taken away and everything is redriven
(POST /dead-letters/retry): every order has to be SHIPPED, and the log is read whole to see that every
handler of every order had its messages once each and in order.
"""

import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import orders  # noqa: E402

TARGET_SHARE = 1.2
SETTLE_SECONDS = 60
NO_DELAY = {"pay_first": 0, "stock_first": 0}
PAGE = 500


def post(args, server):
    load = harness.run_load(args.build, server.url, rate=args.rate, count=args.orders,
                            connections=args.connections)
    if load["status"] != {"201": args.orders}:
        raise harness.WrongResult(f"answers {load['status']}, lost {harness.lost_requests(load)}")
    return load


def wait_until_parked_or_shipped(api, wanted):
    """Returns how many are parked once each order is either SHIPPED or parked."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        metrics = api.metrics()
        parked = int(metrics.value("orderly_lanes_deferred", state="parked"))
        if orders.shipped(metrics) + parked >= wanted and orders.dead_letters(metrics) == parked:
            return parked
        if time.monotonic() > deadline:
            raise harness.WrongResult(f"{orders.shipped(metrics)} SHIPPED and {parked} parked of {wanted}")
        time.sleep(0.05)


def lives_of_orders(api):
    """Reads the whole log: {order: [event, …]} in log order, of what belongs to orders."""
    lives, position = {}, 0
    types = {event_type for event_type, *_ in orders.HAPPY_PATH}
    while True:
        page = api.get(f"/events?after={position}&limit={PAGE}")["data"]
        for event in page:
            if event["position"] <= position:
                raise harness.WrongResult(f"position {event['position']} after {position}")
            position = event["position"]
            if event["eventType"] in types:
                lives.setdefault(event["metadata"]["correlationId"], []).append(event)
        if len(page) < PAGE:
            return lives


def moment(event):
    return datetime.fromisoformat(event["occurredAt"].replace("Z", "+00:00")).timestamp()


def good_times(lives, bad):
    """Milliseconds from OrderPlaced to OrderShipped, sorted."""
    times = []
    for order_id, events in lives.items():
        if order_id not in bad and events[-1]["eventType"] == "OrderShipped":
            times.append((moment(events[-1]) - moment(events[0])) * 1e3)
    return sorted(times)


def quantile(times, q):
    return times[min(len(times) - 1, int(q * len(times)))]


def check_order_of_handling(lives, wanted):
    """Each event of an order names the one that its handler was given. A handler that is given a message
    twice, out of turn or not at all leaves other events, other causes or another order of them."""
    if len(lives) != wanted:
        raise harness.WrongResult(f"{len(lives)} orders in the log, {wanted} were accepted")
    path = [(event_type, cause) for event_type, _, _, cause in orders.HAPPY_PATH]
    for order_id, events in lives.items():
        types = {event["eventId"]: event["eventType"] for event in events}
        was = [(event["eventType"], types.get(event["metadata"].get("causationId"))) for event in events]
        if was != path:
            raise harness.WrongResult(f"order {order_id}: {was}")


def parked_orders(api):
    """{order id} of the parked dead letters."""
    found, path = set(), f"/dead-letters?state=parked&limit={PAGE}"
    while path:
        page = api.get(path)
        found |= {letter["orderId"] for letter in page["data"]}
        cursor = page["nextCursor"]
        path = f"/dead-letters?state=parked&limit={PAGE}&cursor={cursor}" if cursor else None
    return found


def redrive(args, api):
    """Takes the poison away and has everything handed over again; returns how long it took."""
    status, text = api.request("PUT", "/simulators/payments", {"enabled": True, "delayMs": NO_DELAY})
    if status != 200:
        raise harness.WrongResult(f"PUT /simulators/payments answered {status}: {text[:500]}")
    began = time.monotonic()
    status, text = api.request("POST", "/dead-letters/retry",
                               {"filter": {"subscription": "payments"}, "perSecond": 10_000})
    if status != 200:
        raise harness.WrongResult(f"POST /dead-letters/retry answered {status}: {text[:500]}")
    settled_at, metrics = orders.wait_until_shipped(api, args.orders, SETTLE_SECONDS)
    if orders.dead_letters(metrics):
        raise harness.WrongResult(f"{orders.dead_letters(metrics)} dead letters after the redrive")
    return settled_at - began


def run(args, rate):
    settings = {"simulators.payments.poisonRate": rate} if rate else None
    with harness.order_server(args, settings) as server:
        post(args, server)
        parked = wait_until_parked_or_shipped(server.api, args.orders)
        bad = parked_orders(server.api)
        if len(bad) != parked or (parked == 0) != (rate == 0):
            raise harness.WrongResult(f"{parked} are parked, and dead letters of {len(bad)} orders;"
                                      f" the rate is {rate}")
        times = good_times(lives_of_orders(server.api), bad)
        if len(times) != args.orders - len(bad):
            raise harness.WrongResult(f"{len(times)} good orders are SHIPPED of {args.orders - len(bad)}")
        redrive_s = redrive(args, server.api) if rate else None
        check_order_of_handling(lives_of_orders(server.api), args.orders)
    return {"times": times, "parked": parked, "redrive_s": redrive_s}


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=64)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=2000, help="orders a second")
    parser.add_argument("--poison", type=float, default=0.01, help="share of the orders")
    args = parser.parse_args()

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    print(f"\n{args.orders:,} orders at {args.rate:,.0f} a second, open loop; poisonRate {args.poison:g}\n")
    runs, rows = {False: [], True: []}, []
    for number in range(args.rounds):
        for poisoned in (False, True) if number % 2 == 0 else (True, False):
            result = run(args, args.poison if poisoned else 0)
            runs[poisoned].append(result)
            rows.append([number + 1, f"{args.poison:.0%} poisoned" if poisoned else "none", result["parked"],
                         *(f"{quantile(result['times'], q):.0f}" for q in (0.5, 0.99, 0.999)),
                         f"{result['times'][-1]:.0f}",
                         f"{result['redrive_s']:.2f}" if poisoned else "-"])
            print(f"  round {number + 1}, {rows[-1][1]}: p99 {rows[-1][4]} ms, {rows[-1][2]} parked;"
                  " every handler in order", flush=True)
    print()
    harness.print_table(["round", "poison", "parked", "good p50 ms", "p99 ms", "p99.9 ms", "max ms",
                         "redriven in s"], rows)
    without, with_poison = (harness.median([quantile(result["times"], 0.99) for result in runs[key]])
                            for key in (False, True))
    share = with_poison / without
    print(f"\np99 of the good, placed to SHIPPED: {without:.0f} ms without, {with_poison:.0f} ms with poison\n")
    verdicts = harness.Verdicts(args.asserted)
    verdicts.target(share <= TARGET_SHARE, f"p99 of the good at most {TARGET_SHARE} times as long: {share:.2f}")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
