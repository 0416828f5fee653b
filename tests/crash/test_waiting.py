"""Whatever an order waits for when the server is killed, it still waits for afterwards, and gets."""
import http.client
import os
import random
import signal
import subprocess

import pytest

import shim
from books import Audit, Book, await_rest
from client import eventually
from server import BINARY, QUICK, DidNotStart, Server, verify
from shop import (ADDRESS, STOCK_FIRST_EVENTS, add_product, checkout, fill_cart, order, place,
                  publish, simulate, stock_of, types_of, unique, wait_dead_letter, wait_event,
                  wait_for, wait_status)

QUICK_RETRIES = ["--set=bus.retry_base=2ms", "--set=bus.retry_max=5ms"]


@pytest.fixture
def make(tmp_path):
    servers = []

    def make_server(*args, shim=None, name="s"):
        server = Server(tmp_path / name, *args, shim=shim)
        servers.append(server)
        return server.start()
    yield make_server
    for server in servers:
        server.close()


def metric(client, name):
    for line in client.get("/metrics").is_(200).body.decode().splitlines():
        if line.startswith(f"orderly_{name} "):
            return float(line.split(" ")[1])
    raise AssertionError(f"no metric {name}")


def lanes(client, subscription, state):
    return metric(client, f'lanes_deferred{{subscription="{subscription}",state="{state}"}}')


def agrees(server, letters=0):
    """Everything is at rest, and nothing was lost or done twice."""
    await_rest(server)
    audit = Audit()
    with server.client() as client:
        audit.read(client)
    audit.compare(server, Book(random.Random(1)), letters)
    verify(server.data)  # while it serves


# ---- retries and parking

def test_a_retry_that_is_pending(make):
    server = make(*QUICK, "--set=bus.retry_base=600ms", "--set=simulators.payments.failFirst=2")
    with server.client() as client:
        id = place(client)["orderId"]
        eventually(lambda: lanes(client, "payments", "retrying") == 1)
    server.restart()
    with server.client() as client:
        assert lanes(client, "payments", "retrying") == 1
        wait_for(client, id, "SHIPPED")
        # The attempt before the kill counts: one more failed, the third was well.
        assert metric(client, 'handler_failures_total{subscription="payments",kind="retry"}') == 1
        assert types_of(client, id) == STOCK_FIRST_EVENTS
    agrees(server)


def test_an_order_that_is_parked(make):
    server = make(*QUICK, *QUICK_RETRIES, "--set=simulators.payments.poisonRate=1")
    with server.client() as client:
        id = place(client)["orderId"]
        letter = wait_dead_letter(client, id)
        client.post(f"/orders/{id}/cancel", {"reason": "r"}).is_(200)
        path = f"/dead-letters/{letter['deadLetterId']}"
        eventually(lambda: client.get(path).json["queuedBehind"] == 1)
        letter = client.get(path).json
    server.restart()
    with server.client() as client:
        assert client.get(path).is_(200).json == letter
        assert lanes(client, "payments", "parked") == 1
        simulate(client, "payments", poisonRate=0.0)
        client.post(path + "/retry").is_(200)
        wait_event(client, id, "OrderRefunded")
        types = types_of(client, id)
        assert types.index("PaymentProcessed") < types.index("PaymentRefunded")
    agrees(server, letters=1)


def test_letters_that_are_being_retried_in_bulk(make):
    n = 60
    server = make(*QUICK, *QUICK_RETRIES, "--set=simulators.payments.poisonRate=1")
    with server.client() as client:
        sku = add_product(client, stock=1000)
        ids = [place(client, sku)["orderId"] for _ in range(n)]
        eventually(lambda: metric(client, 'dead_letters{subscription="payments"}') == n)
        simulate(client, "payments", poisonRate=0.0)
        client.post("/dead-letters/retry", {"filter": {}, "perSecond": 40}).is_(200)
        eventually(lambda: 3 <= len(client.all("/dead-letters?state=retried")) or False)
    server.restart()
    with server.client() as client:
        eventually(lambda: metric(client, 'handler_failures_total{subscription="payments",'
                                          'kind="retry"}') == 0)
        parked = client.all("/dead-letters?state=parked&limit=500")
        done = client.all("/dead-letters?state=retried&limit=500")
        assert len(parked) + len(done) == n and parked and done
        client.post("/dead-letters/retry", {"filter": {}, "perSecond": 10000}).is_(200)
        for id in ids:
            wait_for(client, id, "SHIPPED")
            wait_event(client, id, "OrderShipped")
            assert [t for t in types_of(client, id) if not t.startswith("Dead")] == \
                STOCK_FIRST_EVENTS
            assert types_of(client, id).count("DeadLetterRetried") == 1
    agrees(server, letters=n)


# ---- payment

def test_a_payment_deadline_that_is_open(make):
    server = make(*QUICK, "--set=payment.timeout=1500ms", "--set=simulators.payments.mode=wait")
    with server.client() as client:
        sku = add_product(client, stock=10)
        id = wait_status(client, place(client, sku)["orderId"], "CONFIRMED")["orderId"]
        deadline = order(client, id)["paymentDeadline"]
    server.restart()
    with server.client() as client:
        assert order(client, id)["status"] == "CONFIRMED"
        assert order(client, id)["paymentDeadline"] == deadline
        after = wait_for(client, id, "CANCELLED")
        assert after["cancellationReason"] == "payment_timeout"
        cancelled = wait_event(client, id, "OrderCancelled")
        assert cancelled["occurredAt"] >= deadline
        eventually(lambda: stock_of(client, sku) == (10, 0, 10))
    agrees(server)


@pytest.mark.parametrize("make_order", [place, checkout])
def test_a_payment_deadline_that_passes_while_the_server_is_down(make, make_order):
    server = make(*QUICK, "--set=simulators.payments.mode=wait", shim="rules")
    with server.client() as client:
        sku = add_product(client, stock=10)
        id = make_order(client, sku)["orderId"]
        wait_event(client, id, "PaymentPending")
    server.kill()
    server.shim.reset()
    server.shim.move_clock(30 * 60 + 1)
    server.start()
    with server.client() as client:
        after = wait_for(client, id, "CANCELLED")
        assert after["cancellationReason"] == "payment_timeout"
        assert types_of(client, id).count("OrderCancelled") == 1
        eventually(lambda: stock_of(client, sku) == (10, 0, 10))
    agrees(server)


def test_a_payment_that_is_pending(make):
    server = make(*QUICK, "--set=simulators.payments.mode=wait")
    with server.client() as client:
        id = place(client)["orderId"]
        wait_event(client, id, "PaymentPending")
    server.restart()
    with server.client() as client:
        assert order(client, id)["status"] == "CONFIRMED"
        client.post(f"/orders/{id}/pay").is_(202)
        wait_for(client, id, "SHIPPED")
        types = types_of(client, id)
        assert types.count("PaymentPending") == 1 and types.count("PaymentProcessed") == 1
    agrees(server)


@pytest.mark.parametrize("name", ["inventory", "payments", "shipments"])
def test_a_simulated_delay_that_is_running(make, name):
    server = make(*QUICK, f"--set=simulators.{name}.delayMs=700")
    before = {"inventory": "PENDING", "payments": "CONFIRMED", "shipments": "PAID"}[name]
    with server.client() as client:
        id = place(client)["orderId"]
        wait_status(client, id, before)
        assert lanes(client, name, "retrying") == 0
    server.restart()
    with server.client() as client:
        assert order(client, id)["status"] == before
        wait_for(client, id, "SHIPPED")
        assert types_of(client, id) == STOCK_FIRST_EVENTS
    agrees(server)


# ---- an answer that was stored and not given

def die_of(server, calls, ask, was_it):
    """The server is killed after a call of this kind that a request has caused, and starts again. A
    commit of its own (cursors) may come in between, so it is asked whether it was the right one."""
    for _ in range(20):
        server.shim.rule(0, calls, 1, shim.KILL_AFTER)
        with pytest.raises((OSError, http.client.HTTPException)):
            with server.client() as client:
                ask(client)
        assert server.ended() == -signal.SIGKILL
        server.shim.reset()
        server.start()
        with server.client() as client:
            if was_it(client):
                return
    raise AssertionError("none of the kills was of the request")


def requests(client):
    """Every kind of request that is kept: (path, body, status)."""
    sku = add_product(client)
    direct = place(client, sku)["orderId"]
    wait_for(client, direct, "CONFIRMED")
    waiting = place(client, sku)
    wait_for(client, waiting["orderId"], "CONFIRMED")
    total = {"approvedAmount": waiting["totalAmount"], "currency": "USD"}
    return {
        "orders": ("/orders", {"customerId": "kept", "items": [{"sku": sku, "quantity": 1}],
                               "shippingAddress": ADDRESS}, 201),
        "carts": ("/carts", {"customerId": "kept"}, 201),
        "items": (f"/carts/{fill_cart(client)}/items", {"productId": sku, "quantity": 1}, 200),
        "convert": (f"/carts/{fill_cart(client, (sku, 1))}/convert", None, 200),
        "checkout": ("/orders/checkout", {"cartId": fill_cart(client, (sku, 1)),
                                          "shippingAddress": ADDRESS}, 201),
        "pay": (f"/orders/{direct}/pay", None, 202),
        "cancel": (f"/orders/{direct}/cancel", {"reason": "r"}, 200),
        "products": ("/products", {"sku": unique("KEPT"), "name": "N", "stockQuantity": 1}, 201),
        "message": ("/messages/payment.approved", {
            "messageId": "kept-1", "payload": {"orderId": waiting["orderId"], "paymentId": "p-1",
                                               **total}}, 202),
    }


@pytest.mark.parametrize("what", ["orders", "carts", "items", "convert", "checkout", "pay", "cancel",
                                  "products", "message"])
@pytest.mark.parametrize("where", ["fsync", "commit"])
def test_a_key_whose_answer_was_not_sent(make, what, where):
    server = make(*QUICK, "--set=simulators.payments.mode=wait", shim="rules")
    key = {} if what == "message" else {"Idempotency-Key": "kept"}
    with server.client() as client:
        path, body, status = requests(client)[what]
        eventually(lambda: all(metric(client, f'subscription_lag_events{{subscription="{s}"}}') == 0
                               for s in ("orders", "payments", "inventory", "shipments")))
        before = client.all("/events?limit=500")
    # The meta page is what makes a commit: behind it the answer is stored, before it nothing is.
    calls = shim.META if where == "commit" else shim.SYNC
    die_of(server, calls, lambda c: c.post(path, body, headers=key),
           lambda c: where != "commit" or len(c.all("/events?limit=500")) > len(before))
    with server.client() as client:
        after = client.all("/events?limit=500")
        assert after[:len(before)] == before
        assert (len(after) > len(before)) == (where == "commit")
        first = client.post(path, body, headers=key).is_(status)
        assert first.headers["Idempotent-Replayed"] == ("true" if where == "commit" else None)
        again = client.post(path, body, headers=key).is_(status)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.body == first.body
        if what in ("orders", "checkout"):
            found = client.all(f"/orders?customerId={first.json['customerId']}")
            assert [o["orderId"] for o in found] == [first.json["orderId"]]
        if what == "message":
            wait_event(client, body["payload"]["orderId"], "OrderShipped")
        if what == "items":
            assert client.get(path.rsplit("/", 1)[0]).json["items"][0]["quantity"] == 1


# ---- carts

@pytest.mark.parametrize("where", ["a write", "the fsync", "the commit"])
def test_a_cart_that_is_half_converted(make, where):
    calls = {"a write": shim.WRITE, "the fsync": shim.SYNC, "the commit": shim.META}[where]
    server = make(*QUICK, shim="rules")
    with server.client() as client:
        sku = add_product(client, stock=10)
        cart = fill_cart(client, (sku, 2))
        body = {"cartId": cart, "shippingAddress": ADDRESS}
    # The order and the cart's end are one: both or none.
    is_done = where == "the commit"
    die_of(server, calls, lambda c: c.post("/orders/checkout", body),
           lambda c: c.get(f"/carts/{cart}").json["isConverted"] or not is_done)
    with server.client() as client:
        now = client.get(f"/carts/{cart}").is_(200).json
        assert now["isConverted"] == is_done
        answer = client.post("/orders/checkout", body).is_(200 if is_done else 201)
        assert now["orderId"] in (None, answer.json["orderId"])
        wait_for(client, answer.json["orderId"], "STOCK_RESERVED")
        assert len(client.all(f"/orders?customerId={now['customerId']}")) == 1
        client.post(f"/carts/{cart}/items", {"productId": sku, "quantity": 1}).problem(
            409, "cart_converted")
        eventually(lambda: stock_of(client, sku) == (10, 2, 8))
    agrees(server)


def test_a_cart_that_was_converted_and_not_checked_out(make):
    server = make(*QUICK)
    with server.client() as client:
        sku = add_product(client, stock=10)
        cart = fill_cart(client, (sku, 2))
        client.post(f"/carts/{cart}/convert").is_(200)
    server.restart()
    with server.client() as client:
        assert client.get(f"/carts/{cart}").json["isConverted"]
        client.post(f"/carts/{cart}/convert").is_(200)
        o = client.post("/orders/checkout", {"cartId": cart, "shippingAddress": ADDRESS}).is_(201)
        wait_for(client, o.json["orderId"], "STOCK_RESERVED")
    agrees(server)


# ---- Payments outside

def test_an_order_that_waits_for_a_payment_from_outside(make):
    server = make(*QUICK, "--set=simulators.payments.enabled=false")
    with server.client() as client:
        o = wait_status(client, place(client)["orderId"], "CONFIRMED")
    server.restart()
    with server.client() as client:
        pay = {"paymentId": "p-1", "amount": o["totalAmount"], "currency": "USD"}
        first = publish(client, "payment.processed", o["orderId"], "m-1", **pay).is_(202)
        wait_for(client, o["orderId"], "SHIPPED")
        wait_event(client, o["orderId"], "OrderShipped")
    server.restart()
    with server.client() as client:
        again = publish(client, "payment.processed", o["orderId"], "m-1", **pay).is_(202)
        assert again.json == first.json
        assert types_of(client, o["orderId"]) == STOCK_FIRST_EVENTS
    agrees(server)


# ---- a backup

def backup(server, dest, env=None):
    return subprocess.Popen([BINARY, "backup", str(dest), "--data", str(server.data)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
                            start_new_session=True)


def test_a_backup_that_is_running_while_the_server_is_killed(make, tmp_path):
    server = make(*QUICK)
    with server.client() as client:
        sku = add_product(client, stock=100000)
        before = [place(client, sku)["orderId"] for _ in range(200)]
        for id in before:
            wait_for(client, id, "SHIPPED")
    dest = tmp_path / "backup"
    disk = shim.Shim(shim.find_library(BINARY), tmp_path / "disk", dest)
    disk.rule(0, shim.WRITE, 3, shim.PAUSE)  # in the middle of its work
    running = backup(server, dest, disk.env(journal=False))
    try:
        eventually(lambda: disk.fired() != 0)
        with server.client() as client:
            place(client, sku)
        server.restart()
        with server.client() as client:
            after = [place(client, sku)["orderId"] for _ in range(50)]
    finally:
        os.killpg(running.pid, signal.SIGCONT)  # it looks from a child
        disk.close()
    text = running.communicate(timeout=30)[0].decode()
    assert running.returncode == 0, text
    agrees(server)
    copy = Server(tmp_path / "copy", *QUICK)
    copy.data = dest
    try:
        copy.start()
        with copy.client() as client:
            for id in before:
                assert order(client, id)["status"] == "SHIPPED"
            assert client.get(f"/orders/{after[0]}").status == 404
        agrees(copy)
    finally:
        copy.close()


def test_a_backup_that_is_killed_itself(make, tmp_path):
    server = make(*QUICK)
    with server.client() as client:
        id = place(client)["orderId"]
        wait_for(client, id, "SHIPPED")
    dest = tmp_path / "backup"
    disk = shim.Shim(shim.find_library(BINARY), tmp_path / "disk", dest)
    n = 0
    try:
        for nth in range(1, 100):
            disk.reset()
            disk.rule(0, shim.ANY, nth, shim.KILL_AFTER)
            done = backup(server, dest, disk.env(journal=False))
            text = done.communicate(timeout=30)[0].decode()
            if not disk.fired():
                break
            n += 1
            assert done.returncode == -signal.SIGKILL, text
            if (dest / "data.mdb").exists():
                break  # the last thing that it did was to give the copy its name
        assert n >= 4
    finally:
        disk.close()
    if not (dest / "data.mdb").exists():
        done = backup(server, dest)
        assert done.wait(30) == 0, done.stdout.read()
    copy = Server(tmp_path / "copy", *QUICK)
    copy.data = dest
    try:
        copy.start()
        with copy.client() as client:
            assert order(client, id)["status"] == "SHIPPED"
    except DidNotStart as e:
        raise AssertionError(str(e)) from e
    finally:
        copy.close()
    agrees(server)
