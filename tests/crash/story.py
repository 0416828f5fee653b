"""A short story with both flows, a cart and a cancelled order, that can be told again after a crash.

Every step has an Idempotency-Key, so telling it again goes on where it broke off: what was answered
must be answered again, byte for byte; what was not is done now, once.
"""
import http.client
import time

import server  # noqa: F401  (finds the client)
from client import eventually
from shop import ADDRESS, FINAL, PAY_FIRST_EVENTS, STOCK_FIRST_EVENTS

REPLAYED = ("Content-Type", "Location", "ETag")
DISK_FULL_SECONDS = 10
SETTLE_SECONDS = 10
STOCK = 100


class Gone(Exception):
    """The server did not answer any more."""


def assert_replayed(first, again):
    assert again.headers["Idempotent-Replayed"] == "true", again.body
    assert (again.status, again.body) == (first.status, first.body)
    for name in REPLAYED:
        assert again.headers[name] == first.headers[name], name


class Story:
    def __init__(self, name="s"):
        self.name = name
        self.answers = {}  # by step: the first 2xx
        self.refused = 0   # answers that said that the disk is full

    # ---- telling

    def tell(self, client):
        """To its end; or Gone."""
        try:
            self._tell(client)
        except (http.client.HTTPException, OSError) as e:
            raise Gone(str(e)) from e

    def _tell(self, client):
        sku = self._step(client, "product", "/products", {
            "sku": f"{self.name}-1", "name": "W", "price": 10.00, "currency": "USD",
            "stockQuantity": STOCK}).json["sku"]
        line = [{"sku": sku, "quantity": 2}]
        direct = self._order(client, "direct", "/orders", {
            "customerId": f"{self.name}-direct", "items": line, "shippingAddress": ADDRESS})
        cart = self._step(client, "cart", "/carts", {"customerId": f"{self.name}-cart"}).json
        self._step(client, "item", f"/carts/{cart['cartId']}/items",
                   {"productId": sku, "quantity": 3})
        paid = self._order(client, "paid", "/orders/checkout", {
            "cartId": cart["cartId"], "shippingAddress": ADDRESS})
        gone = self._order(client, "gone", "/orders", {
            "customerId": f"{self.name}-gone", "items": line, "shippingAddress": ADDRESS,
            "flow": "pay_first"})
        self._step(client, "cancel", f"/orders/{gone}/cancel", {"reason": "no more"})
        self._wait(client, direct, "SHIPPED")
        self._wait(client, paid, "STOCK_RESERVED")
        self._wait(client, gone, "CANCELLED")

    def _order(self, client, step, path, body):
        return self._step(client, step, path, body).json["orderId"]

    def _step(self, client, step, path, body):
        deadline = time.monotonic() + DISK_FULL_SECONDS
        while True:
            answer = client.post(path, body, headers={"Idempotency-Key": f"{self.name}-{step}"})
            if answer.status != 503:
                break
            # A full disk is refused with its name, and nothing was done.
            assert answer.json["code"] == "disk_full", answer.body
            assert answer.headers["Retry-After"]
            assert time.monotonic() < deadline, "the disk stays full"
            self.refused += 1
            time.sleep(0.02)
        if answer.status == 500:
            # Of one that is about to end, and says so rather than nothing.
            assert answer.json["code"] == "store_failed", answer.body
            raise Gone("the store failed")
        assert answer.status in (200, 201), (step, answer.status, answer.body)
        if step in self.answers:
            assert_replayed(self.answers[step], answer)
        return self.answers.setdefault(step, answer)

    def _wait(self, client, order, status):
        # Not asked once for long: a story that is told to a server that fails must end.
        for _ in range(20):
            now = client.get(f"/orders/{order}?until={status}&wait=1s").json
            if now.get("code") == "store_failed":
                raise Gone("the store failed")
            if now["status"] == status:
                return
            assert now["status"] not in FINAL.split(","), now
        raise AssertionError(f"{order} stays {now['status']}: {now}")

    # ---- looking

    def check(self, client):
        """That what was told has come about, once and whole. After tell() has come to its end."""
        # What was cancelled may still be paid late and given back.
        eventually(lambda: self._check(client), SETTLE_SECONDS)

    def _check(self, client):
        ids = {step: self.answers[step].json["orderId"] for step in ("direct", "paid", "gone")}
        events = client.all("/events?limit=500")
        assert [e["position"] for e in events] == list(range(1, len(events) + 1))
        types = {step: [e["eventType"] for e in events
                        if e["metadata"]["correlationId"] == id] for step, id in ids.items()}
        assert types["direct"] == STOCK_FIRST_EVENTS
        assert types["paid"] == PAY_FIRST_EVENTS
        self._check_undone(client, ids["gone"], types["gone"])
        for step, id in ids.items():
            order = client.get(f"/orders/{id}").is_(200).json
            found = client.all(f"/orders?customerId={order['customerId']}")
            assert [o["orderId"] for o in found] == [id], f"{step}: {len(found)} orders"
        product = self._product(client, reserved=5)
        assert (product["onHand"], product["available"]) == (STOCK, STOCK - 5), product
        assert client.all("/dead-letters") == []
        assert client.all("/orders?unsettledFor=0s") == []

    def _check_undone(self, client, id, types):
        """However far it had come, all of that is taken back, once."""
        order = client.get(f"/orders/{id}").is_(200).json
        assert order["status"] == "CANCELLED"
        assert order["refund"]["status"] in ("none", "done"), order
        assert order["release"]["status"] in ("none", "done"), order
        assert types[0] == "OrderPlaced" and types.count("OrderCancelled") == 1, types
        assert types.count("PaymentApproved") <= 1 and types.count("StockReserved") <= 1, types

    def _product(self, client, reserved):
        product = client.get(f"/products/{self.answers['product'].json['sku']}").is_(200).json
        assert product["reserved"] == reserved, product
        assert product["onHand"] == product["reserved"] + product["available"]
        return product
