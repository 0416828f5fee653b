"""A process that has some of the contexts only, and the directory that belongs to them."""
import subprocess

from client import eventually
from conftest import BINARY, clean_environment
from shop import add_product, order, place, publish, types_of, wait_dead_letter, wait_for


def refused(data, *args):
    result = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data", data, *args],
                            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                            env=clean_environment())
    assert result.returncode == 78
    return result.stderr


def said(server, text):
    assert text in server.log()


def verified(data):
    result = subprocess.run([BINARY, "verify", "--data", data], capture_output=True, text=True,
                            timeout=60, stdin=subprocess.DEVNULL, env=clean_environment())
    assert result.returncode == 0, result.stdout + result.stderr


def test_orders_alone_takes_what_the_others_say_from_outside(start, tmp_path):
    data = str(tmp_path / "orders")
    server = start("--data", data, "--contexts", "orders")
    client = server.client()
    assert client.get("/").json["contexts"] == ["orders"]
    eventually(lambda: said(server, "contexts=orders built_in=none"))
    eventually(lambda: said(
        server, 'level=warn event=hears_nobody why="there is no relay, so what payments,inventory,'
                'shipments would answer has to come by POST /messages, or orders wait for it"'))
    id = place(client, add_product(client))["orderId"]
    assert types_of(client, id) == ["OrderPlaced"]
    assert client.get(f"/orders/{id}/explain").json["waitsFor"][0]["why"] == "outside"
    publish(client, "inventory.reserved", id, reservationId="r-1")
    wait_for(client, id, "CONFIRMED")
    o = order(client, id)
    publish(client, "payment.processed", id, paymentId=f"p-{id}", amount=o["totalAmount"],
            currency=o["currency"])
    wait_for(client, id, "PAID")
    # Who dispatches before the order has heard of the shipment is told so.
    publish(client, "shipment.dispatched", id, shipmentId=f"s-{id}")
    assert wait_dead_letter(client, id)["error"]["code"] == "not_confirmed"
    publish(client, "shipment.created", id, shipmentId=f"s-{id}", trackingNumber="T-1")
    wait_for(client, id, "SHIPPED")
    client.post(f"/shipments/s-{id}/dispatch").problem(421, "context_elsewhere")
    client.get("/simulators/payments").problem(421, "context_elsewhere")
    publish(client, "shipment.dispatched", id, shipmentId=f"s-{id}")
    publish(client, "shipment.delivered", id, shipmentId=f"s-{id}")
    wait_for(client, id, "DELIVERED")
    assert server.stop() == 0
    verified(data)


def test_a_process_with_all_contexts_needs_nobody(start):
    server = start()
    eventually(lambda: said(server, "event=listening"))
    assert "hears_nobody" not in server.log()


def test_a_directory_belongs_to_the_contexts_that_it_was_first_started_with(start, tmp_path):
    data = str(tmp_path / "payments")
    server = start("--data", data, "--contexts", "payments")
    client = server.client()
    eventually(lambda: said(server, 'level=warn event=hears_nobody why="a process without Orders '
                                    'is told of orders by a relay, and has none"'))
    client.post("/orders", {}).problem(421, "context_elsewhere")
    client.post("/messages/order.placed", {}).problem(403, "forbidden_topic")
    assert client.get("/readyz").json == {"status": "ready", "reasons": []}
    assert server.stop() == 0
    says = f"the store in {data} is of payments, and not of "
    assert says + "orders,payments,inventory,shipments" in refused(data)
    assert says + "payments,shipments" in refused(data, "--contexts", "payments,shipments")
    assert start("--data", data, "--contexts", "payments").stop() == 0
    verified(data)
