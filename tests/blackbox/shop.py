"""What tests of a shop need over and over: products, carts, orders, messages from outside."""
import itertools
import os
import time

from client import eventually

ADDRESS = {"street": "1 Main St", "city": "Springfield", "stateOrProvince": "IL",
           "postalCode": "62701", "country": "US"}
FINAL = "COMPLETED,DELIVERED,CANCELLED,REJECTED,PAYMENT_FAILED"
UNKNOWN_ID = "0199a1f2-0000-7000-8000-000000000000"

PAY_FIRST_EVENTS = ["OrderPlaced", "PaymentApproved", "OrderPaid", "StockReserved",
                    "OrderStockReserved"]
STOCK_FIRST_EVENTS = ["OrderPlaced", "InventoryReserved", "OrderConfirmed", "PaymentProcessed",
                      "OrderPaid", "ShipmentCreated", "OrderShipped"]

_numbers = itertools.count(1)


def unique(prefix):
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


# ---- products

def add_product(client, stock=100, price=19.99, **more):
    body = {"sku": unique("SKU"), "name": "Widget", "stockQuantity": stock, **more}
    if price is not None:
        body.setdefault("currency", "USD")
        body["price"] = price
    return client.post("/products", body).is_(201).json["sku"]


def stock_of(client, sku):
    """(on hand, reserved, available), which always add up."""
    p = client.get(f"/products/{sku}").is_(200).json
    assert p["onHand"] == p["reserved"] + p["available"], p
    return p["onHand"], p["reserved"], p["available"]


# ---- orders

def order_body(sku, quantity=2, **more):
    return {"customerId": unique("customer"), "items": [{"sku": sku, "quantity": quantity}],
            "shippingAddress": ADDRESS, **more}


def place(client, sku=None, quantity=2, **more):
    """A direct order."""
    sku = sku or add_product(client)
    return client.post("/orders", order_body(sku, quantity, **more)).is_(201).json


def fill_cart(client, *lines):
    """lines: (sku, quantity)"""
    cart = client.post("/carts", {"customerId": unique("customer")}).is_(201).json["cartId"]
    for sku, quantity in lines:
        client.post(f"/carts/{cart}/items", {"productId": sku, "quantity": quantity}).is_(200)
    return cart


def checkout(client, sku=None, quantity=2):
    """An order from a cart."""
    cart = fill_cart(client, (sku or add_product(client), quantity))
    return client.post("/orders/checkout",
                       {"cartId": cart, "shippingAddress": ADDRESS}).is_(201).json


def order(client, id):
    return client.get(f"/orders/{id}").is_(200).json


def wait_for(client, id, *states):
    """Until the order is, or has been, in one of the states; fails if it can't be any more."""
    began = time.monotonic()
    answer = client.get(f"/orders/{id}?until={','.join(states)}&wait=15s").is_(200).json
    assert time.monotonic() - began < 14.9, f"the wait ran out: {answer}"
    assert answer["status"] in states or answer["status"] not in FINAL.split(","), answer
    return answer


def wait_status(client, id, status):
    """Until the order is in exactly this state."""
    client.get(f"/orders/{id}?until={status}&wait=15s").is_(200)

    def check():
        o = order(client, id)
        assert o["status"] == status, o
        return o
    return eventually(check)


def wait_order(client, id, **fields):
    """Until these fields of the order have these values; a__b is a field of a field."""
    def check():
        o = order(client, id)
        for name, expected in fields.items():
            value = o
            for part in name.split("__"):
                value = value[part]
            assert value == expected, (name, value, o)
        return o
    return eventually(check)


def cancel(client, id, reason="changed my mind"):
    return client.post(f"/orders/{id}/cancel", {"reason": reason})


# ---- events

def events_of(client, id):
    """All events of an order, its payment's and shipment's too, in log order."""
    events = client.all(f"/events?orderId={id}")
    positions = [e["position"] for e in events]
    assert positions == sorted(set(positions))
    return events


def types_of(client, id):
    return [e["eventType"] for e in events_of(client, id)]


def event_of(client, id, event_type, nth=0):
    found = [e for e in events_of(client, id) if e["eventType"] == event_type]
    assert len(found) > nth, f"no {event_type} in {types_of(client, id)}"
    return found[nth]


def wait_event(client, id, event_type, nth=0):
    return eventually(lambda: event_of(client, id, event_type, nth))


# ---- messages from outside

def publish(client, topic, order_id, message_id=None, **payload):
    return client.post(f"/messages/{topic}", {
        "messageId": message_id or unique("message"),
        "payload": {"orderId": order_id, **payload}})


def approve(client, o, payment_id=None, topic="payment.approved", **more):
    """A payment provider says that the order is paid. Returns the payment's id."""
    payment_id = payment_id or unique("payment")
    payload = {"paymentId": payment_id, "approvedAmount": o["totalAmount"],
               "currency": o["currency"], **more}
    publish(client, topic, o["orderId"], **payload).is_(202)
    return payment_id


def dead_letters_of(client, order_id):
    return client.all(f"/dead-letters?orderId={order_id}")


def wait_dead_letter(client, order_id):
    def check():
        letters = dead_letters_of(client, order_id)
        assert letters, "no dead letter"
        return letters[0]
    return eventually(check)


# ---- the built-in contexts

def simulate(client, name, **settings):
    """Changes some of a context's settings and keeps the others."""
    now = client.get(f"/simulators/{name}").is_(200).json
    return client.put(f"/simulators/{name}", {**now, **settings}).is_(200).json
