"""What the conformance tests ask the server and the channel, and what has to agree."""
import os
import signal
import time

import shop
from tried import metric  # noqa: F401

PATIENCE_SECONDS = 120
PASSED_ON = ("order.", "payment.", "stock.", "inventory.", "shipment.")


def eventually(what, seconds=PATIENCE_SECONDS):
    """What it answers, when that is something."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.05)


def stand_still(server):
    """Until SIGCONT."""
    server.send_signal(signal.SIGSTOP)
    # Its threads go on until one of them was there to hear it.
    _, status = os.waitpid(server.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def orders(client, n, sku, flow=None):
    more = {"flow": flow} if flow else {}
    return [shop.place(client, sku, 1, **more)["orderId"] for _ in range(n)]


def settled(client, ids):
    """All these orders have come to their end or to rest, so nothing more is said of them."""
    states = f"SHIPPED,STOCK_RESERVED,{shop.FINAL}"
    for order in ids:
        eventually(lambda: client.get(f"/orders/{order}?until={states}&wait=10s").is_(200)
                   .json["status"] in states.split(","))


def said(client, topics=PASSED_ON):
    """What the server passes on of these: (id, key, topic) in the order of the log."""
    return [(m["messageId"], m["correlationId"], m["topic"]) for m in client.all("/messages?limit=500")
            if m["topic"].startswith(topics)]


def by_key(messages):
    keys = {}
    for m in messages:
        keys.setdefault(m[1], []).append(m[0])
    return keys


def without_repeats(ids):
    return list(dict.fromkeys(ids))


def arrives(client, channel, topics=PASSED_ON):
    """Everything said of these is on the channel, and nothing else of them; what it recorded."""
    def look():
        # In this order: what is recorded was said before.
        recorded = [m for m in channel.recorded() if m[2].startswith(topics)]
        return recorded, said(client, topics)

    def has_all():
        recorded, wanted = look()
        return {m[0] for m in recorded} == {m[0] for m in wanted} and (recorded, wanted)
    try:
        recorded, wanted = eventually(has_all)
    except AssertionError as e:
        recorded, wanted = ({m[0]: m[1:3] for m in each} for each in look())
        missing = [(n, *wanted[id]) for n, id in enumerate(wanted) if id not in recorded]
        more = [recorded[id] for id in recorded if id not in wanted]
        counts = [line for line in client.get("/metrics").is_(200).body.decode().splitlines()
                  if line.startswith("orderly_relay_")]
        raise AssertionError(f"{e}: of {len(wanted)} there are missing {missing}, and nobody said "
                             f"{more}; {counts}") from None
    got = by_key(recorded)
    for key, ids in by_key(wanted).items():
        assert without_repeats(got[key]) == ids, f"order of {key}"
    return recorded
