"""Why does this order not move? What an operator is told."""
import re
import signal

import pytest

from client import eventually
from conftest import FAST
from shop import (UNKNOWN_ID, approve, cancel, checkout, dead_letters_of, events_of, place, publish,
                  simulate, wait_for)

AT = r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC"


def explain(client, o, **expected):
    answer = client.get(f"/orders/{o['orderId']}/explain").is_(200).json
    assert next(iter(answer)) == "summary"  # what a person reads first
    assert answer["orderId"] == o["orderId"]
    for name, value in expected.items():
        assert answer[name] == value, (name, answer)
    return answer


def wait_explained(client, o, summary, **expected):
    def check():
        answer = explain(client, o, **expected)
        assert re.fullmatch(summary.replace("AT", AT), answer["summary"]), answer["summary"]
        return answer
    return eventually(check)


def commands(answer):
    return {c["command"]: c for c in answer["commands"]}


def of_payments(answer):
    """The audit's line of a message may be written again after a crash."""
    found = [d for d in answer["deliveries"] if d["subscription"] == "payments"]
    assert len(found) == 1
    return found


@pytest.fixture
def fresh(start):
    with start(*FAST).client() as c:
        yield c


def test_a_shipped_order_waits_for_its_carrier_and_tells_its_story(client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    answer = wait_explained(
        client, o, r"Waits for the carrier since AT: the next step is dispatch of shipment-\S+\.",
        settled=True, parked=False, deliveries=[], deadLetters=[], ignored=[], cut=[])
    assert [e["eventType"] for e in answer["events"]] == [
        e["eventType"] for e in events_of(client, o["orderId"])]
    assert [e["depth"] for e in answer["events"]] == list(range(7))
    assert answer["tookMs"] == sum(e["afterMs"] or 0 for e in answer["events"])
    assert answer["nextTimer"] is None
    # What it calls legal is, and what it calls illegal is not.
    for c in answer["commands"]:
        assert c["legal"] or c["why"]
        if c["command"] in ("cancel", "ready"):
            body = {"reason": "r"} if c["command"] == "cancel" else {}
            client.post(c["path"], body).problem(409, "illegal_state")
            assert not c["legal"]
    client.post(commands(answer)["dispatch"]["path"], {}).is_(200)


def test_it_waits_for_outside_contexts_where_ours_are_off(fresh):
    simulate(fresh, "payments", enabled=False)
    o = place(fresh)
    answer = wait_explained(
        fresh, o, r"Waits for an outside Payments since AT: it has to send payment\.processed or "
        r"payment\.failed\. Unpaid, it is cancelled at AT\.", status="CONFIRMED", settled=False)
    assert answer["nextTimer"] == {"at": o["paymentDeadline"], "what": "payment_deadline",
                                   "subscription": None}
    assert answer["waitsFor"][0]["asked"]["topic"] == "order.confirmed"
    payment = approve(fresh, o)
    wait_for(fresh, o["orderId"], "SHIPPED")
    approve(fresh, o)  # a second one
    answer = wait_explained(
        fresh, o, r"Waits for an outside Payments to give back 39\.98 USD of payment-\S+ since AT: "
        r"it has to send payment\.refunded\. It waits for 1 more: see waitsFor\.")
    assert answer["refund"] == {"status": "due", "amount": 39.98}
    assert answer["refunds"][0]["paymentId"] != payment


def test_it_waits_for_pay_where_payments_is_set_to_wait(fresh):
    simulate(fresh, "payments", mode="wait")
    o = checkout(fresh)
    answer = wait_explained(
        fresh, o, r"Waits for Payments since AT, which is set to wait: pay or mark-paid goes on\. "
        r"Unpaid, it is cancelled at AT\.")
    fresh.post(commands(answer)["pay"]["path"], {}).is_(202)
    wait_for(fresh, o["orderId"], "STOCK_RESERVED")


def test_a_retry_and_a_parked_order_are_told_also_after_a_crash(start, tmp_path):
    args = [*FAST, f"--data={tmp_path}/data", "--set=bus.retry_base=60s", "--set=bus.retry_max=60s"]
    server = start(*args)
    with server.client() as client:
        simulate(client, "payments", failFirst=9)
        retried = place(client)
        retrying = (r"Waits for Payments since AT: attempt 1 of 4 failed \(handler_failed: The "
                    r"payment simulator is set to fail\.\), next at AT\. Unpaid, it is cancelled "
                    r"at AT\.")
        before = wait_explained(client, retried, retrying)
        assert before["nextTimer"]["what"] == "retry"
        assert before["deliveries"][0]["nextAttemptAt"] == before["nextTimer"]["at"]
    server.stop(signal.SIGKILL)
    server = start(*args)
    with server.client() as client:
        after = wait_explained(client, retried, retrying)
        assert of_payments(after) == of_payments(before)
        assert after["events"] == before["events"]
    server.stop(signal.SIGKILL)
    args[-2:] = ["--set=bus.retries=0"]
    server = start(*args)
    with server.client() as client:
        parked = place(client)
        summary = (r"Waits for Payments since AT: parked, as attempt 1 of 1 failed at AT \(handler_"
                   r"failed: The payment simulator is set to fail\.\); retry or discard dead letter "
                   r"\S+\. Unpaid, it is cancelled at AT\.")
        before = wait_explained(client, parked, summary, parked=True)
        letter, = dead_letters_of(client, parked["orderId"])
        assert before["deadLetters"][0]["deadLetterId"] == letter["deadLetterId"]
    server.stop(signal.SIGKILL)
    server = start(*args)
    with server.client() as client:
        after = wait_explained(client, parked, summary, parked=True)
        assert of_payments(after) == of_payments(before)
        assert after["deadLetters"] == before["deadLetters"]


def test_what_was_discarded_does_not_come_by_itself(start):
    with start(*FAST, "--set=bus.retries=0").client() as client:
        simulate(client, "payments", failFirst=9)
        o = place(client)
        answer = wait_explained(client, o, r"Waits for Payments since AT: parked, .*", parked=True)
        letter = answer["waitsFor"][0]["deadLetterId"]
        simulate(client, "payments", failFirst=0)
        client.post(f"/dead-letters/{letter}/discard", {"reason": "the customer pays cash"}).is_(200)
        answer = wait_explained(
            client, o, r"Waits for Payments since AT, but its order\.confirmed was discarded \(dead "
            rf"letter {letter}\): nothing comes by itself, but pay asks again\. Unpaid, it is "
            r"cancelled at AT\.", parked=False, deadLetters=[], deliveries=[])
        client.post(commands(answer)["pay"]["path"], {}).is_(202)
        wait_for(client, o["orderId"], "SHIPPED")


def test_what_was_ignored_is_listed(client):
    o = place(client)
    wait_for(client, o["orderId"], "SHIPPED")
    publish(client, "payment.declined", o["orderId"], reason="too late").is_(202)

    def check():
        found = explain(client, o)["ignored"]
        assert len(found) == 1, found
        ignored = found[0]
        assert ignored["eventType"] == "PaymentDeclined"
        assert ignored["currentStatus"] == "SHIPPED" and ignored["why"] == "wrong_state"
        assert ignored["subscription"] == "orders"
    eventually(check)


def test_a_cancelled_order_is_settled(client):
    simulate(client, "inventory", enabled=False)
    try:
        o = place(client)
        cancel(client, o["orderId"], "no more needed").is_(200)
        wait_explained(client, o, r"Settled: CANCELLED since AT \(no more needed\); nothing is due "
                       r"and nothing waits\.", settled=True, waitsFor=[])
    finally:
        simulate(client, "inventory", enabled=True)


def test_there_is_nothing_to_explain_of_an_unknown_order(client):
    client.get(f"/orders/{UNKNOWN_ID}/explain").problem(404, "not_found")
    client.get("/orders/none/explain").problem(404, "not_found")
    client.get(f"/api/orders/{UNKNOWN_ID}/explain").problem(404, "not_found")
    assert not client.request("HEAD", f"/orders/{UNKNOWN_ID}/explain").body
