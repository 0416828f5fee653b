"""How long an Idempotency-Key and an outside messageId are kept, and how many: also across a kill."""
import pytest

from client import eventually
from server import QUICK, Server
from shop import (add_product, order, order_body, place, publish, types_of, wait_event, wait_for,
                  wait_status)

DAY = 24 * 3600
SLACK = 60  # more than any test takes


@pytest.fixture
def server(tmp_path):
    s = Server(tmp_path / "s", *QUICK, shim="rules")
    yield s
    s.close()


def move_clock(server, seconds, by_restart):
    """The wall clock goes on by so much: under the running server, or while it is down."""
    if by_restart:
        server.kill()
    server.shim.move_clock(seconds)
    if by_restart:
        server.start()


def entries(client):
    for line in client.get("/metrics").is_(200).body.decode().splitlines():
        if line.startswith("orderly_idempotency_entries "):
            return int(float(line.split(" ")[1]))
    raise AssertionError("no metric")


@pytest.mark.parametrize("by_restart", [False, True])
def test_a_key_is_kept_for_24_hours_and_not_longer(server, by_restart):
    server.start()
    key = {"Idempotency-Key": "k"}
    with server.client() as client:
        body = order_body(add_product(client))
        first = client.post("/orders", body, headers=key).is_(201)
        wait_for(client, first.json["orderId"], "SHIPPED")
    move_clock(server, DAY - SLACK, by_restart)
    with server.client() as client:
        again = client.post("/orders", body, headers=key).is_(201)
        assert again.headers["Idempotent-Replayed"] == "true" and again.body == first.body
        client.post("/carts", {"customerId": "c"}, headers=key).problem(422, "idempotency_mismatch")
    move_clock(server, DAY + SLACK, by_restart)
    with server.client() as client:
        second = client.post("/orders", body, headers=key).is_(201)
        assert second.headers["Idempotent-Replayed"] is None
        assert second.json["orderId"] != first.json["orderId"]
        # And this one is kept from now on, whatever the sweep takes away.
        eventually(lambda: entries(client) == 1)
    move_clock(server, 2 * DAY, by_restart)
    with server.client() as client:
        again = client.post("/orders", body, headers=key).is_(201)
        assert again.headers["Idempotent-Replayed"] == "true" and again.body == second.body


@pytest.mark.parametrize("by_restart", [False, True])
def test_a_message_from_outside_is_known_by_its_id_and_then_by_its_payment(server, by_restart):
    server.start("--set=simulators.payments.enabled=false")
    with server.client() as client:
        o = wait_status(client, place(client)["orderId"], "CONFIRMED")
        pay = {"paymentId": "p-1", "amount": o["totalAmount"], "currency": "USD"}

        def tell(client, **more):
            return publish(client, "payment.processed", o["orderId"], "m-1", **{**pay, **more})
        first = tell(client).is_(202)
        wait_event(client, o["orderId"], "OrderShipped")
        known = types_of(client, o["orderId"])
    move_clock(server, DAY - SLACK, by_restart)
    with server.client() as client:
        assert tell(client).is_(202).json == first.json
        tell(client, amount=1).problem(422, "idempotency_mismatch")
        assert types_of(client, o["orderId"]) == known
    move_clock(server, DAY + SLACK, by_restart)
    with server.client() as client:
        # A new message now, of a payment that its order knows for ever.
        assert tell(client).is_(202).json["position"] > first.json["position"]
        types = types_of(client, o["orderId"])
        assert types == known + ["PaymentProcessed"]
        after = order(client, o["orderId"])
        assert (after["status"], after["refunds"]) == ("SHIPPED", [])
        assert client.all("/dead-letters") == []


def test_as_many_keys_are_kept_as_there_is_room_for(server):
    most = 20
    limit = f"--set=idempotency_keys_max={most}"
    server.start(limit)
    answers = {}
    with server.client() as client:
        for n in range(most):
            answers[n] = client.post("/carts", {"customerId": "c"},
                                     headers={"Idempotency-Key": f"k-{n}"}).is_(201)

    def is_full(client):
        refused = client.post("/carts", {"customerId": "c"}, headers={"Idempotency-Key": "more"})
        refused.problem(503, "overloaded")
        assert refused.headers["Retry-After"]
        publish(client, "payment.approved", "x", "m-more", paymentId="p", approvedAmount=1,
                currency="USD").problem(503, "overloaded")
        # None is put out early, and what has no key is not concerned.
        for n, first in answers.items():
            again = client.post("/carts", {"customerId": "c"},
                                headers={"Idempotency-Key": f"k-{n}"}).is_(201)
            assert again.headers["Idempotent-Replayed"] == "true" and again.body == first.body
        client.post("/carts", {"customerId": "c"}).is_(201)
        assert entries(client) == most

    with server.client() as client:
        is_full(client)
    server.kill()
    server.start(limit)
    with server.client() as client:
        is_full(client)
    # One more than there is room for now: they are kept all the same.
    server.kill()
    server.start(f"--set=idempotency_keys_max={most - 1}")
    with server.client() as client:
        is_full(client)
        server.shim.move_clock(DAY + SLACK)
        eventually(lambda: entries(client) == 0)
        for n in range(most - 1):
            answer = client.post("/carts", {"customerId": "c"},
                                 headers={"Idempotency-Key": f"k-{n}"}).is_(201)
            assert answer.headers["Idempotent-Replayed"] is None
        client.post("/carts", {"customerId": "c"},
                    headers={"Idempotency-Key": "more"}).problem(503, "overloaded")
