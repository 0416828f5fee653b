"""What an operator does when a message could not be handled: look, retry, correct, discard."""
import pytest

from client import eventually
from conftest import FAST
from shop import (UNKNOWN_ID, add_product, approve, cancel, events_of, order, place, publish,
                  simulate, stock_of, types_of, unique, wait_dead_letter, wait_event, wait_for,
                  wait_order, wait_status)

QUICK = ["--set=bus.retry_base=2ms", "--set=bus.retry_max=5ms", "--store=memory"]


@pytest.fixture
def fresh(start):
    with start(*FAST, *QUICK).client() as c:
        yield c


def parked_order(client, sku=None):
    """An order whose charge is parked; the cause is mended."""
    simulate(client, "payments", poisonRate=1.0)
    o = place(client, sku)
    letter = wait_dead_letter(client, o["orderId"])
    simulate(client, "payments", poisonRate=0.0)
    return o, letter


def letter_of(client, letter):
    return client.get(f"/dead-letters/{letter['deadLetterId']}").is_(200).json


def retry(client, letter, body=None, **more):
    return client.post(f"/dead-letters/{letter['deadLetterId']}/retry", body, **more)


def discard(client, letter, **body):
    return client.post(f"/dead-letters/{letter['deadLetterId']}/discard",
                       {"reason": "not worth it", **body})


def metric(client, name):
    for line in client.get("/metrics").is_(200).body.decode().splitlines():
        if line.startswith(f"orderly_{name} "):
            return float(line.split(" ")[1])
    raise AssertionError(f"no metric {name}")


# ---- retry

def test_a_retried_order_goes_on(fresh):
    o, letter = parked_order(fresh)
    assert metric(fresh, 'lanes_deferred{subscription="payments",state="parked"}') == 1
    answer = retry(fresh, letter).is_(200).json
    assert answer == {**letter, "state": "retried"}
    wait_for(fresh, o["orderId"], "SHIPPED")
    assert letter_of(fresh, letter)["state"] == "retried"
    wait_event(fresh, o["orderId"], "OrderShipped")
    retried = [e for e in events_of(fresh, o["orderId"]) if e["eventType"] == "DeadLetterRetried"]
    assert len(retried) == 1
    assert retried[0]["aggregateType"] == "Subscription"
    assert retried[0]["aggregateId"] == "payments"
    assert retried[0]["payload"]["deadLetterId"] == letter["deadLetterId"]
    assert retried[0]["payload"]["messagePosition"] == letter["position"]
    assert "payload" not in retried[0]["payload"]
    assert all(m["topic"] for m in fresh.all("/messages"))  # none of them is a message
    assert metric(fresh, 'dead_letters{subscription="payments"}') == 0
    assert metric(fresh, 'lanes_deferred{subscription="payments",state="parked"}') == 0


def test_a_retry_is_asked_for_twice_and_happens_once(fresh):
    o, letter = parked_order(fresh)
    key = {"Idempotency-Key": "again-1"}
    first = retry(fresh, letter, headers=key).is_(200)
    again = retry(fresh, letter, headers=key).is_(200)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert retry(fresh, letter).is_(200).json["state"] == "retried"
    wait_for(fresh, o["orderId"], "SHIPPED")
    assert types_of(fresh, o["orderId"]).count("DeadLetterRetried") == 1
    problem = discard(fresh, letter).problem(409, "illegal_state")
    assert problem["currentStatus"] == "retried"


def test_what_waits_behind_comes_in_order(fresh):
    o, letter = parked_order(fresh)
    cancel(fresh, o["orderId"]).is_(200)
    eventually(lambda: letter_of(fresh, letter)["queuedBehind"] == 1)
    retry(fresh, letter).is_(200)
    wait_order(fresh, o["orderId"], status="CANCELLED", refund__status="done")
    # Payments was told of the confirmation first, charged it, and had to give it back.
    types = types_of(fresh, o["orderId"])
    assert types.index("PaymentProcessed") < types.index("PaymentRefunded")
    assert types.count("PaymentProcessed") == 1


# ---- discard

def test_a_discarded_message_is_left_out(fresh):
    o, letter = parked_order(fresh)
    fresh.post(f"/orders/{o['orderId']}/pay").is_(202)
    answer = discard(fresh, letter).is_(200).json
    assert answer["state"] == "discarded"
    wait_for(fresh, o["orderId"], "SHIPPED")
    assert discard(fresh, letter).is_(200).json["state"] == "discarded"
    assert retry(fresh, letter).problem(409, "illegal_state")["currentStatus"] == "discarded"
    events = [e for e in events_of(fresh, o["orderId"]) if e["eventType"] == "DeadLetterDiscarded"]
    assert [e["payload"]["reason"] for e in events] == ["not worth it"]


def test_a_refund_is_discarded_only_by_force_and_stays_due(fresh):
    simulate(fresh, "shipments", mode="wait")
    o = place(fresh)
    wait_status(fresh, o["orderId"], "PAID")
    simulate(fresh, "payments", poisonRate=1.0)
    cancel(fresh, o["orderId"]).is_(200)
    letter = wait_dead_letter(fresh, o["orderId"])
    assert letter["topic"] == "order.cancelled"
    discard(fresh, letter).problem(409, "force_needed")
    assert letter_of(fresh, letter)["state"] == "parked"
    discard(fresh, letter, force=True).is_(200)
    simulate(fresh, "payments", poisonRate=0.0)
    assert order(fresh, o["orderId"])["refund"]["status"] == "due"
    assert o["orderId"] in [x["orderId"] for x in fresh.all("/orders?refund=due")]


# ---- messages that were turned down when they came in

def test_a_message_can_be_corrected(fresh):
    simulate(fresh, "payments", enabled=False)
    first, second = place(fresh), place(fresh)
    for o in (first, second):
        wait_status(fresh, o["orderId"], "CONFIRMED")
    payment = approve(fresh, first)
    wait_for(fresh, first["orderId"], "PAID")
    publish(fresh, "payment.approved", second["orderId"], message_id="prov-77", paymentId=payment,
            approvedAmount=39.98, currency="USD").is_(202)
    letter = wait_dead_letter(fresh, second["orderId"])
    assert letter["error"]["code"] == "payment_taken"
    assert letter["messageId"] == "prov-77"
    assert fresh.get(f"/events/{letter['message']['messageId']}").is_(200).json["position"] == \
        letter["position"]
    right = {"orderId": second["orderId"], "paymentId": unique("p"), "approvedAmount": 39.98,
             "currency": "USD", "note": "typed by hand"}
    assert retry(fresh, letter, {"payload": right}).is_(200).json["state"] == "retried"
    wait_for(fresh, second["orderId"], "SHIPPED")
    assert order(fresh, second["orderId"])["paymentId"] == right["paymentId"]
    events = events_of(fresh, second["orderId"])
    retried = [e for e in events if e["eventType"] == "DeadLetterRetried"][0]
    assert retried["payload"]["payload"] == right
    told = [e for e in events if e["eventType"] == "PaymentApproved"]
    assert [e["metadata"]["messageId"] for e in told] == ["prov-77", "prov-77"]
    assert told[0]["payload"]["paymentId"] == payment  # what was said stays as it is
    assert told[1]["metadata"]["causationId"] == retried["eventId"]
    assert retry(fresh, letter, {"payload": right}).is_(200)
    assert retry(fresh, letter, {"payload": {**right, "note": "another"}}).problem(
        409, "illegal_state")


def test_a_correction_is_checked_like_a_message(fresh):
    publish(fresh, "payment.approved", UNKNOWN_ID, paymentId="p-1", approvedAmount=1,
            currency="USD").is_(202)
    letter = wait_dead_letter(fresh, UNKNOWN_ID)
    payload = {"orderId": UNKNOWN_ID, "paymentId": "p-1", "approvedAmount": 1, "currency": "USD"}

    def refused(**changes):
        return retry(fresh, letter, {"payload": {**payload, **changes}}).pointers()
    assert refused(approvedAmount="1", paymentId="?") == ["/payload/approvedAmount",
                                                          "/payload/paymentId"]
    assert refused(orderId=UNKNOWN_ID[:-1] + "1") == ["/payload/orderId"]
    assert retry(fresh, letter, {"payload": {"orderId": UNKNOWN_ID}}).pointers() == [
        "/payload/approvedAmount", "/payload/currency", "/payload/paymentId"]
    assert retry(fresh, letter, {"payload": []}).pointers() == ["/payload"]
    assert retry(fresh, letter, {"pay": {}}).pointers() == ["/pay"]
    assert letter_of(fresh, letter) == letter
    # It is asked for again as it was: still nobody's, so it is a new letter.
    retry(fresh, letter).is_(200)
    open_ones = eventually(lambda: fresh.all("/dead-letters?state=open") or False)
    assert [x["error"]["code"] for x in open_ones] == ["unknown_order"]
    assert open_ones[0]["deadLetterId"] != letter["deadLetterId"]


def test_what_the_server_says_itself_is_not_corrected(fresh):
    o, letter = parked_order(fresh)
    assert retry(fresh, letter, {"payload": letter["message"]["payload"]}).pointers() == ["/payload"]
    assert letter_of(fresh, letter)["state"] == "parked"


@pytest.mark.parametrize("path, body, status, code", [
    ("/dead-letters/x/retry", {}, 404, "not_found"),
    (f"/dead-letters/{UNKNOWN_ID}/retry", {}, 404, "not_found"),
    (f"/dead-letters/{UNKNOWN_ID}/discard", {"reason": "r"}, 404, "not_found"),
    (f"/dead-letters/{UNKNOWN_ID}/discard", {}, 400, "validation"),
    (f"/dead-letters/{UNKNOWN_ID}/discard", {"reason": ""}, 400, "validation"),
    (f"/dead-letters/{UNKNOWN_ID}/discard", {"reason": "x" * 501}, 400, "validation"),
    (f"/dead-letters/{UNKNOWN_ID}/discard", {"reason": "r", "force": 1}, 400, "validation"),
    ("/dead-letters/retry", {}, 400, "validation"),
    ("/dead-letters/retry", {"filter": {"subscription": "x"}}, 400, "validation"),
    ("/dead-letters/retry", {"filter": {"state": "retried"}}, 400, "validation"),
    ("/dead-letters/retry", {"filter": {}, "perSecond": 0}, 400, "validation"),
    ("/dead-letters/retry", {"filter": {}, "perSecond": 10001}, 400, "validation"),
    ("/dead-letters/retry", {"filter": {}, "dryRun": "yes"}, 400, "validation"),
])
def test_what_is_no_command_is_told_so(client, path, body, status, code):
    client.post(path, body).problem(status, code)


def test_a_limit_itself_is_allowed(fresh):
    publish(fresh, "payment.declined", UNKNOWN_ID, reason="no").is_(202)
    letter = wait_dead_letter(fresh, UNKNOWN_ID)
    for pace in (1, 10000):
        assert bulk(fresh, {"code": "too_many"}, perSecond=pace).is_(200).json["perSecond"] == pace
    assert bulk(fresh, {"code": "too_many"}).is_(200).json["perSecond"] == 100
    discard(fresh, letter, reason="x" * 500).is_(200)


def test_letters_are_found_by_what_they_are(fresh):
    _, letter = parked_order(fresh)
    publish(fresh, "payment.declined", UNKNOWN_ID, reason="no").is_(202)
    other = wait_dead_letter(fresh, UNKNOWN_ID)

    def found(query):
        return [x["deadLetterId"] for x in fresh.all(f"/dead-letters?{query}")]
    assert found("state=parked") == [letter["deadLetterId"]]
    assert found("state=open") == [other["deadLetterId"]]
    assert found("code=unknown_order") == [other["deadLetterId"]]
    assert found("code=handler_failed&subscription=payments") == [letter["deadLetterId"]]
    assert found("topic=payment.*") == [other["deadLetterId"]]
    assert found("topic=order.confirmed&state=parked") == [letter["deadLetterId"]]
    assert found("state=discarded") == []
    for query in ("state=gone", "code=none", "topic=nothing", "subscription=x", "orderId=%20"):
        fresh.get(f"/dead-letters?{query}").problem(400, "validation")


# ---- many

def bulk(client, filter=None, **more):
    return client.post("/dead-letters/retry", {"filter": filter or {}, **more})


def park_many(client, n, sku):
    simulate(client, "payments", poisonRate=1.0)
    orders = [place(client, sku, 1) for _ in range(n)]
    eventually(lambda: len(client.all("/dead-letters?state=parked")) == n)
    simulate(client, "payments", poisonRate=0.0)
    return orders


def test_many_are_counted_first_and_then_retried(fresh):
    sku = add_product(fresh, stock=100)
    orders = park_many(fresh, 20, sku)
    publish(fresh, "payment.declined", UNKNOWN_ID, reason="no").is_(202)
    wait_dead_letter(fresh, UNKNOWN_ID)
    dry = bulk(fresh, dryRun=True).is_(200).json
    assert dry["matched"] == 21
    assert dry["dryRun"] is True
    assert dry["deadLetterIds"] == [x["deadLetterId"] for x in fresh.all("/dead-letters")]
    assert bulk(fresh, {"orderId": orders[0]["orderId"]}, dryRun=True).json["matched"] == 1
    assert bulk(fresh, {"topic": "payment.*"}, dryRun=True).json["matched"] == 1
    assert bulk(fresh, {"code": "too_many"}, dryRun=True).json["matched"] == 0
    assert len(fresh.all("/dead-letters?state=parked")) == 20  # nothing has changed
    run = bulk(fresh, {"state": "parked"}, dryRun=False, perSecond=10000).is_(200).json
    assert run["matched"] == 20
    for o in orders:
        wait_for(fresh, o["orderId"], "SHIPPED")
    assert stock_of(fresh, sku) == (100, 20, 80)
    assert fresh.all("/dead-letters?state=parked") == []
    assert len(fresh.all("/dead-letters?state=retried")) == 20


def test_a_slow_run_takes_its_time_and_a_second_one_is_refused(fresh):
    orders = park_many(fresh, 3, add_product(fresh))
    bulk(fresh, perSecond=2).is_(200)
    bulk(fresh).problem(409, "retry_running")
    assert bulk(fresh, dryRun=True).is_(200).json["matched"] >= 1
    for o in orders:
        wait_for(fresh, o["orderId"], "SHIPPED")
    at = sorted(e["occurredAt"] for e in fresh.all("/events?eventType=DeadLetterRetried"))
    assert at[2] > at[0]
    eventually(lambda: bulk(fresh).is_(200).json["matched"] == 0)


def test_letters_survive_a_kill_and_a_retry_goes_on_after_it(start, tmp_path):
    args = [*FAST, *QUICK[:2], "--data", str(tmp_path / "data")]
    server = start(*args)
    with server.client() as client:
        o, letter = parked_order(client)
        other, second = parked_order(client)
        retry(client, letter).is_(200)
    server.stop(9)
    with start(*args).client() as client:
        wait_for(client, o["orderId"], "SHIPPED")
        assert letter_of(client, letter)["state"] == "retried"
        assert letter_of(client, second)["state"] == "parked"
        assert metric(client, 'dead_letters{subscription="payments"}') == 1
        assert types_of(client, o["orderId"]).count("PaymentProcessed") == 1
        discard(client, second).is_(200)
        client.post(f"/orders/{other['orderId']}/pay").is_(202)
        wait_for(client, other["orderId"], "SHIPPED")
