"""How long until a server is ready, and what memory does it take, with ten million events and with none?

Starts a server on an empty directory and on one with a history, several times each: after it was ended
by SIGTERM and after kill -9 under load, with orders on their way. Ready is when /readyz says 200,
counted from the spawning of the process; the listening line comes just before. Memory is what is its
own (RssAnon: what the kernel can't get back from a file), after the start and after some load. All
orders that were accepted before the kill have to be SHIPPED after the start.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import harness  # noqa: E402
import kept_history  # noqa: E402
import orders  # noqa: E402

TARGET_READY_SECONDS = 2.0
CACHE_MIB = 64  # of settled aggregates, the server's default
TARGET_MIB = 256 + CACHE_MIB
LOAD_AT_KILL = 2.0  # seconds of it


def wait_ready(server):
    """Seconds from the spawning until /readyz says 200."""
    deadline = time.monotonic() + harness.START_SECONDS
    while True:
        status, text = server.api.request("GET", "/readyz")
        if status == 200:
            return time.monotonic() - server.spawned_at
        if time.monotonic() > deadline:
            raise harness.WrongResult(f"/readyz answers {status}: {text[:200]}")
        time.sleep(0.002)


def load_and_kill(args, data):
    """A server under load that is killed; returns how many orders were SHIPPED or accepted."""
    with harness.Program(harness.server_command(args, data)) as server:
        api = harness.Api(server.url)
        before = orders.shipped(api.metrics())
        load = harness.LoadInBackground(args.build, server.url, connections=args.connections,
                                        pipeline=args.pipeline, duration=60, timeout=5, drain=0)
        time.sleep(LOAD_AT_KILL)
        server.process.kill()
        server.process.wait()
        return before + load.result()["status"].get("201", 0)


def one_start(args, data, wanted, loaded):
    with harness.server_on(args, data) as server:
        listening_s = server.listening_at - server.spawned_at
        ready_s = wait_ready(server)
        own = server.resident_mib()
        metrics = orders.wait_until_quiet(server.api)
        # Perhaps more: some whose answer did not arrive any more.
        if orders.shipped(metrics) < wanted:
            raise harness.WrongResult(f"{orders.shipped(metrics)} orders are SHIPPED of {wanted} accepted")
        after = None
        if loaded:
            orders.flow(args, server, connections=args.connections, pipeline=args.pipeline,
                        duration=args.seconds)
            after = server.resident_mib()
        events = int(metrics.value("orderly_store_events"))
    return {"shipped": orders.shipped(metrics), "listening_s": listening_s, "ready_s": ready_s, "own_mib": own, "loaded_mib": after,
            "events": events}


def prepare(args, data):
    with harness.server_on(args, data) as server:
        harness.add_stock(server.api)
        return orders.shipped(server.api.metrics())


def measure(args, what, data, rows):
    starts = []
    wanted = prepare(args, data)
    for number in range(args.rounds):
        for after_kill in (False, True):
            if after_kill:
                wanted = load_and_kill(args, data)
            loaded = after_kill and number == args.rounds - 1
            start = one_start(args, data, wanted, loaded)
            wanted = start["shipped"]
            starts.append(start)
            rows.append([what, number + 1, "kill -9" if after_kill else "SIGTERM", f"{start['events']:,}",
                         f"{start['listening_s'] * 1e3:,.0f}", f"{start['ready_s'] * 1e3:,.0f}",
                         f"{start['own_mib']:.0f}",
                         f"{start['loaded_mib']:.0f}" if loaded else "-"])
            print(f"  {what}, after {rows[-1][2]}: ready in {rows[-1][5]} ms", flush=True)
    return starts


def main():
    parser = harness.argument_parser(__doc__, rounds=3, connections=256)
    parser.add_argument("--pipeline", type=int, default=4, help="requests outstanding on a connection")
    parser.add_argument("--seconds", type=float, default=10, help="of load before memory is looked at")
    kept_history.add_arguments(parser)
    args = parser.parse_args()
    if not harness.is_durable(args):
        parser.error("a store in memory has nothing to start with")

    harness.print_machine(args, harness.program_path(args.build, "orderly"))
    rows, figures = [], {}
    with harness.data_directory(args) as data:
        figures["empty"] = measure(args, "empty", data, rows)
    with kept_history.copy(args) as data:
        figures["history"] = measure(args, "history", data, rows)
    print()
    harness.print_table(["directory", "round", "ended by", "events", "listening ms", "ready ms",
                         "own MiB at start", "after load"], rows)
    print()
    verdicts = harness.Verdicts(args.asserted)
    for what, starts in figures.items():
        ready = harness.median([start["ready_s"] for start in starts])
        slowest = max(start["ready_s"] for start in starts)
        own = max(max(start["own_mib"], start["loaded_mib"] or 0) for start in starts)
        print(f"  {what}: ready in {ready * 1e3:,.0f} ms (median), {slowest * 1e3:,.0f} ms (slowest)")
        verdicts.target(slowest < TARGET_READY_SECONDS, f"{what}: ready in less than 2 s")
        verdicts.target(own < TARGET_MIB, f"{what}: {own:.0f} MiB of its own, less than 256 and the cache's"
                                          f" {CACHE_MIB}")
    return verdicts.exit_status()


if __name__ == "__main__":
    harness.run_driver(main)
