"""What clients were told, and whether the log, the orders and the stock agree with it.

A Book is the clients' side: every order that was acknowledged, every answer that has a key. An Audit
reads the events since the last one, builds its own picture from them, and compares that with what
the server answers and with the book. Both are kept over any number of lives of the server.
"""
import json
import time

import load
from load import Request
from shop import ADDRESS

FINAL = {"COMPLETED", "DELIVERED", "CANCELLED", "REJECTED", "PAYMENT_FAILED"}
AT_REST = {"STOCK_RESERVED", "READY", "SHIPPED"}
REPLAYED = ("Content-Type", "Location", "ETag")
PRODUCTS = 12
SCARCE = "SCARCE-1"  # so that some orders are rejected
PLENTY = 10 ** 9


def cents(amount):
    return round(amount * 100)


class Wrong(AssertionError):
    """Something that must never be."""


class Acked:
    __slots__ = ("flow", "life", "is_cancelled")

    def __init__(self, flow, life):
        self.flow, self.life, self.is_cancelled = flow, life, False


class Book:
    def __init__(self, chance):
        self.chance = chance
        self.life = 0
        self.orders = {}          # id -> Acked
        self.in_this_life = []    # ids
        self.keyed = {}           # key -> (Request, Answer), of this life
        self.kept = {}            # a few of all lives, for the end
        self.carts = {}           # cart -> order, of this life
        self.single = set()       # customers who may have one order only: they asked with a key
        self.cancelled = 0
        self.in_doubt = []        # Requests of this life that a failing store could not answer
        self.doubtful = 0         # requests of which nobody knew, asked again
        self.replayed = 0
        self._n = 0

    def begin_life(self):
        self.life += 1
        self.in_this_life, self.keyed, self.carts = [], {}, {}
        self.in_doubt = []

    def unique(self, prefix):
        self._n += 1
        return f"{prefix}-{self._n}"

    # ---- clients

    def add_products(self, client):
        for i in range(PRODUCTS):
            client.post("/products", {"sku": f"P-{i}", "name": "P", "price": 10.00 + i,
                                      "currency": "USD", "stockQuantity": PLENTY}).is_(201)
        client.post("/products", {"sku": SCARCE, "name": "S", "price": 5.00, "currency": "USD",
                                  "stockQuantity": 500}).is_(201)

    def client(self):
        """Asks for ever: orders in both flows, carts, and what comes after."""
        while True:
            kind = self.chance.random()
            if kind < 0.5:
                order = yield from self._place("stock_first")
            elif kind < 0.75:
                order = yield from self._place("pay_first")
            else:
                order = yield from self._check_out()
            if order:
                yield from self._go_on(order)

    def _post(self, path, body, keyed, accepted):
        raw = json.dumps(body).encode() if body is not None else None
        key = self.unique("key") if keyed else None
        request = Request("POST", path, raw, key)
        answer = yield request
        if answer.status == 503:
            return None
        if answer.status == 500 and answer.json["code"] == "store_failed":
            self.in_doubt.append(request)
            return None
        if answer.status not in accepted:
            raise Wrong(f"{path}: {answer.status} {answer.body[:500]!r}")
        if key:
            self.keyed[key] = (request, answer)
        return answer

    def _lines(self):
        if self.chance.random() < 0.03:
            return [{"sku": SCARCE, "quantity": self.chance.randint(1, 5)}]
        skus = self.chance.sample(range(PRODUCTS), self.chance.randint(1, 3))
        return [{"sku": f"P-{i}", "quantity": self.chance.randint(1, 5)} for i in skus]

    def _place(self, flow):
        keyed = self.chance.random() < 0.6
        customer = self.unique("customer")
        if keyed:
            self.single.add(customer)
        answer = yield from self._post(
            "/orders", {"customerId": customer, "items": self._lines(),
                        "shippingAddress": ADDRESS, "flow": flow}, keyed, (201,))
        return answer and self._ack(answer.json)

    def _check_out(self):
        customer = self.unique("customer")
        self.single.add(customer)
        answer = yield from self._post("/carts", {"customerId": customer},
                                       self.chance.random() < 0.5, (201,))
        if not answer:
            return None
        cart = answer.json["cartId"]
        for line in self._lines():
            answer = yield from self._post(
                f"/carts/{cart}/items",
                {"productId": line["sku"], "quantity": line["quantity"]},
                self.chance.random() < 0.5, (200,))
            if not answer:
                return None
        self.carts[cart] = None
        answer = yield from self._post("/orders/checkout",
                                       {"cartId": cart, "shippingAddress": ADDRESS},
                                       self.chance.random() < 0.5, (200, 201))
        if not answer:
            return None
        self.carts[cart] = answer.json["orderId"]
        return self._ack(answer.json)

    def _ack(self, order):
        if order["orderId"] not in self.orders:
            self.orders[order["orderId"]] = Acked(order["flow"], self.life)
            self.in_this_life.append(order["orderId"])
        return order["orderId"]

    def _go_on(self, order):
        kind = self.chance.random()
        keyed = self.chance.random() < 0.5
        earlier = self.chance.choice(self.in_this_life)
        if kind < 0.06:
            yield from self._cancel(self.chance.choice((order, earlier)), keyed)
        elif kind < 0.10:
            yield from self._post(f"/orders/{order}/pay", None, keyed, (202, 409))
        elif kind < 0.14 and self.orders[earlier].flow == "pay_first":
            answer = yield from self._post(f"/orders/{earlier}/ready", None, keyed, (200, 409))
            if answer and answer.status == 200:
                yield from self._post(f"/orders/{earlier}/complete", None, keyed, (200, 409))
        elif kind < 0.18:
            yield from self._send(earlier, keyed)

    def _cancel(self, order, keyed):
        answer = yield from self._post(f"/orders/{order}/cancel", {"reason": "no more"}, keyed,
                                       (200, 409))
        if answer and answer.status == 200:
            self.orders[order].is_cancelled = True
            self.cancelled += 1

    def _send(self, order, keyed):
        answer = yield Request("GET", f"/orders/{order}")
        shipment = answer.status == 200 and answer.json["shipmentId"]
        for step in ("dispatch", "deliver") if shipment else ():
            yield from self._post(f"/shipments/{shipment}/{step}", None, keyed, (200, 409))

    # ---- after a life

    def ask_again(self, host, port, in_the_air):
        """Right after a start: what was acknowledged is there, what has a key is answered again."""
        requests = [Request("GET", f"/orders/{id}") for id in self.in_this_life]
        for request, answer in load.ask_all(host, port, requests):
            if answer.status != 200:
                raise Wrong(f"lost: {request.path} {answer.status} {answer.body[:300]!r}")
        self._replay(host, port, self.keyed)
        self._ask_doubtful(host, port, in_the_air + self.in_doubt)
        for key in self.chance.sample(sorted(self.keyed), min(5, len(self.keyed))):
            self.kept[key] = self.keyed[key]

    def _replay(self, host, port, keyed):
        requests = [Request(r.method, r.path, r.body, r.key, a) for r, a in keyed.values()]
        for request, again in load.ask_all(host, port, requests):
            first = request.what
            same = (again.status, again.body, *(again.headers[n] for n in REPLAYED)) == \
                (first.status, first.body, *(first.headers[n] for n in REPLAYED))
            if not same or again.headers["Idempotent-Replayed"] != "true":
                raise Wrong(f"another answer to {request.key}, {request.path}: "
                            f"{first.status} {first.body!r}, then {again.status} {again.body!r}")
            self.replayed += 1

    def _ask_doubtful(self, host, port, in_the_air):
        """Those that can be asked again are: with a key, or a checkout of a cart."""
        again = [r for r in in_the_air if r.key or r.path == "/orders/checkout"]
        self.doubtful += len(again)
        for request, answer in load.ask_all(host, port, again):
            if answer.status >= 500 or answer.status in (400, 422):
                raise Wrong(f"{request.path}: {answer.status} {answer.body[:300]!r}")
            if request.path in ("/orders", "/orders/checkout"):
                self._ack(answer.json)

    def replay_kept(self, host, port):
        self._replay(host, port, self.kept)


class Order:
    """As its events tell it."""
    __slots__ = ("flow", "status", "customer", "items", "total", "charges", "refunds", "reservation",
                 "released", "taken", "is_new")

    def __init__(self, p):
        self.flow, self.customer = p["flow"], p["customerId"]
        self.status = "PENDING" if self.flow == "stock_first" else "AWAITING_PAYMENT"
        self.items = [(i["sku"], i["quantity"]) for i in p["items"]]
        self.total = cents(p["totalAmount"])
        self.charges, self.refunds = [], []
        self.reservation, self.released, self.taken = None, False, False


STATUS_BY = {"OrderConfirmed": "CONFIRMED", "OrderPaid": "PAID", "OrderReadied": "READY",
             "OrderStockReserved": "STOCK_RESERVED", "OrderCompleted": "COMPLETED",
             "OrderShipped": "SHIPPED", "OrderDelivered": "DELIVERED",
             "OrderCancelled": "CANCELLED", "OrderRejected": "REJECTED",
             "OrderPaymentFailed": "PAYMENT_FAILED"}


class Audit:
    """The events, read and folded here, in a second way that knows nothing of the program's."""

    def __init__(self):
        self.position = 0
        self.sequences = {}
        self.orders = {}
        self.stock = {}  # sku -> [on hand, reserved]
        self.by_customer = {}
        self.touched = set()

    # ---- reading

    def read(self, client):
        """Every event since the last time; returns how many."""
        first = self.position
        while True:
            page = client.get(f"/events?after={self.position}&limit=500").is_(200).json
            for e in page["data"]:
                self._take(e)
            if page["nextCursor"] is None:
                return self.position - first

    def _take(self, e):
        if e["position"] != self.position + 1:
            raise Wrong(f"position {e['position']} behind {self.position}")
        self.position = e["position"]
        stream = e["aggregateType"], e["aggregateId"]
        if e["sequence"] != self.sequences.get(stream, 0) + 1:
            raise Wrong(f"sequence {e['sequence']} behind {self.sequences.get(stream)}: {e}")
        self.sequences[stream] = e["sequence"]
        self._fold(e["eventType"], e["payload"])

    def _fold(self, type, p):
        if type == "ProductAdded":
            self.stock[p["sku"]] = [p["stockQuantity"], 0]
        if "orderId" not in p or type.startswith("Cart"):
            return
        id = p["orderId"]
        self.touched.add(id)
        if type == "OrderPlaced":
            order = self.orders[id] = Order(p)
            self.by_customer[order.customer] = self.by_customer.get(order.customer, 0) + 1
            return
        order = self.orders[id]
        if type in STATUS_BY:
            order.status = STATUS_BY[type]
        elif type in ("PaymentApproved", "PaymentProcessed"):
            order.charges.append((p["paymentId"], cents(p["approvedAmount"])))
        elif type == "PaymentRefunded":
            order.refunds.append((p["paymentId"], cents(p["amount"])))
        elif type in ("StockReserved", "InventoryReserved"):
            if order.reservation:
                raise Wrong(f"{id} was reserved twice")
            order.reservation = [(i["sku"], i["quantity"]) for i in p["items"]]
            self._move(order, 0, 1)
        elif type in ("StockReleased", "InventoryReleased"):
            if order.released or order.taken:
                raise Wrong(f"{id} was released twice, or after it was taken")
            order.released = True
            self._move(order, 0, -1)
        elif type == "StockTaken":
            if order.released or order.taken:
                raise Wrong(f"{id} was taken twice, or after its release")
            order.taken = True
            self._move(order, -1, -1)

    def _move(self, order, on_hand, reserved):
        for sku, quantity in order.reservation:
            self.stock[sku][0] += on_hand * quantity
            self.stock[sku][1] += reserved * quantity

    # ---- comparing, when everything has come to rest

    def compare(self, server, book, letters_expected=0):
        """Raises Wrong with the first thing that does not agree."""
        requests = [Request("GET", f"/orders/{id}") for id in sorted(self.touched)]
        for request, answer in load.ask_all(server.host, server.port, requests):
            if answer.status != 200:
                raise Wrong(f"lost: {request.path} {answer.status}")
            self._compare_order(answer.json)
        self.touched.clear()
        self._compare_book(book)
        with server.client() as client:
            self._compare_stock(client)
            letters = client.all("/dead-letters")
            if len(letters) != letters_expected:
                raise Wrong(f"{len(letters)} dead letters: {letters[0]}")

    def _compare_order(self, answer):
        id = answer["orderId"]
        order = self.orders[id]
        if answer["status"] != order.status or cents(answer["totalAmount"]) != order.total:
            raise Wrong(f"{id} is {order.status} by its events: {answer}")
        if answer["sequence"] != self.sequences["Order", id]:
            raise Wrong(f"{id} has {self.sequences['Order', id]} events: {answer}")
        if order.status not in FINAL | AT_REST or "due" in (answer["refund"]["status"],
                                                            answer["release"]["status"]):
            raise Wrong(f"{id} is not settled: {answer}")
        if len(order.charges) > 1:
            raise Wrong(f"{id} was charged {len(order.charges)} times: {order.charges}")
        if any(amount != order.total for _, amount in order.charges):
            raise Wrong(f"{id} costs {order.total}, charged: {order.charges}")
        goes_back = order.status in ("CANCELLED", "REJECTED", "PAYMENT_FAILED")
        if order.refunds != (order.charges if goes_back else []):
            raise Wrong(f"{id}, {order.status}: charged {order.charges}, "
                        f"refunded {order.refunds}")
        if not goes_back and not order.charges:
            raise Wrong(f"{id}, {order.status}, was never charged")
        if order.released != (goes_back and order.reservation is not None):
            raise Wrong(f"{id}, {order.status}: released is {order.released}")
        if order.reservation is not None and sorted(order.reservation) != sorted(order.items):
            raise Wrong(f"{id} asked for {order.items}, reserved: {order.reservation}")

    def _compare_book(self, book):
        for id, acked in book.orders.items():
            if id not in self.orders:
                raise Wrong(f"lost: {id}, acknowledged in life {acked.life}, has no events")
            if acked.is_cancelled and self.orders[id].status != "CANCELLED":
                raise Wrong(f"{id}: the cancelling was acknowledged, {self.orders[id].status}")
        for customer in book.single:
            if self.by_customer.get(customer, 0) > 1:
                raise Wrong(f"{customer} asked once and has {self.by_customer[customer]} orders")

    def _compare_stock(self, client):
        held = dict.fromkeys(self.stock, 0)
        for order in self.orders.values():
            if order.reservation and not order.released and not order.taken:
                for sku, quantity in order.items:
                    held[sku] += quantity
        for sku, (on_hand, reserved) in self.stock.items():
            p = client.get(f"/products/{sku}").is_(200).json
            if (p["onHand"], p["reserved"]) != (on_hand, reserved) or reserved != held[sku] or \
                    p["onHand"] != p["reserved"] + p["available"]:
                raise Wrong(f"stock of {sku}: {p}, by the events {on_hand} and {reserved}, "
                            f"by the orders {held[sku]}")


    def compare_ledger(self, lines):
        """Of a payment service outside: every order charged at most once, what goes back once."""
        charged, refunded = {}, {}
        for line in lines:
            if line["id"] == "begin":
                continue
            book = refunded if line["topic"] == "payment.refunded" else charged
            p = line["payload"]
            if p["orderId"] in book:
                raise Wrong(f"twice in the ledger: {line}")
            book[p["orderId"]] = p["paymentId"], cents(p["amount"])
        for id, order in self.orders.items():
            outside = [c for c in order.charges if c[0].startswith("pay-")]
            if outside != ([charged[id]] if id in charged else []):
                raise Wrong(f"{id}: charged {outside}, by the ledger {charged.get(id)}")
            goes_back = order.status in ("CANCELLED", "REJECTED", "PAYMENT_FAILED")
            if (id in refunded) != (goes_back and id in charged):
                raise Wrong(f"{id}, {order.status}: by the ledger charged {charged.get(id)}, "
                            f"refunded {refunded.get(id)}")
        return len(charged), len(refunded)


def await_rest(server, seconds=120):
    """Until nothing of any order is pending: no order unsettled, no message on its way."""

    deadline = time.monotonic() + seconds
    with server.client() as client:
        while True:
            unsettled = client.get("/orders?unsettledFor=0s&limit=1").is_(200).json["data"]
            if not unsettled and _is_idle(client):
                return
            if time.monotonic() > deadline:
                raise Wrong(f"it does not come to rest: {unsettled}")
            time.sleep(0.02)


def _is_idle(client):
    text = client.get("/metrics").is_(200).body.decode()
    waiting = [line for line in text.splitlines()
               if line.startswith(("orderly_subscription_lag_events{", "orderly_lanes_deferred{"))]
    assert waiting, text
    return all(float(line.split(" ")[-1]) == 0 for line in waiting)
