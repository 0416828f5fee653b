"""Orders that together say everything there is to say: each topic of Orders at least once, and all
that the built-in contexts, carts and products say."""
from client import eventually
from shop import (add_product, approve, cancel, checkout, order, place, publish, simulate, unique,
                  wait_event, wait_for, wait_order, wait_status)

ORDER_TOPICS = {f"order.{name}" for name in (
    "placed", "confirmed", "paid", "stock_reserved", "readied", "completed", "shipped", "delivered",
    "cancelled", "rejected", "payment_failed", "payment_requested", "refund_requested",
    "release_requested", "shipment_refused", "refunded", "stock_released")}
CONTEXT_TOPICS = {
    "payment.approved", "payment.processed", "payment.declined", "payment.failed", "payment.refunded",
    "payment.pending", "stock.reserved", "stock.rejected", "stock.released", "stock.taken",
    "inventory.reserved", "inventory.reservation_failed", "inventory.released", "shipment.created",
    "shipment.dispatched", "shipment.delivered"}
SHOP_TOPICS = {
    "cart.created", "cart.item_added", "cart.item_changed", "cart.item_removed", "cart.converted",
    "product.added", "product.changed", "stock.adjusted"}


def of_carts_and_products(client):
    sku = add_product(client, description="Größe \"M\"\t😀 100 %", stock=5)
    client.patch(f"/products/{sku}", {"price": 21.5}).is_(200)
    client.patch(f"/products/{sku}", {"stockDelta": -3}).is_(200)
    cart = client.post("/carts", {"customerId": unique("customer")}).is_(201).json["cartId"]
    client.post(f"/carts/{cart}/items", {"productId": sku, "quantity": 1}).is_(200)
    client.put(f"/carts/{cart}/items/{sku}", {"quantity": 2}).is_(200)
    client.delete(f"/carts/{cart}/items/{sku}").is_(200)


def of_good_ends(client):
    o = place(client)["orderId"]
    shipment = wait_for(client, o, "SHIPPED")["shipmentId"]
    eventually(lambda: client.post(f"/shipments/{shipment}/dispatch").is_(200))
    client.post(f"/shipments/{shipment}/deliver").is_(200)
    wait_status(client, o, "DELIVERED")
    o = checkout(client)["orderId"]
    wait_for(client, o, "STOCK_RESERVED")
    client.post(f"/orders/{o}/ready", {}).is_(200)
    client.post(f"/orders/{o}/complete", {"invoiceId": "invoice-7"}).is_(200)
    wait_event(client, o, "StockTaken")


def of_bad_ends(client):
    sku = add_product(client, stock=1)
    wait_status(client, place(client, sku, 2)["orderId"], "REJECTED")
    wait_order(client, checkout(client, sku, 2)["orderId"], status="CANCELLED",
               refund__status="done")
    simulate(client, "payments", mode="decline", reason="Card «declined»")
    wait_order(client, place(client)["orderId"], status="PAYMENT_FAILED", release__status="done")
    wait_status(client, checkout(client)["orderId"], "PAYMENT_FAILED")
    simulate(client, "payments", mode="approve")
    o = checkout(client)["orderId"]
    wait_for(client, o, "STOCK_RESERVED")
    cancel(client, o, "changed\nmy mind").is_(200)
    wait_order(client, o, refund__status="done", release__status="done")


def of_what_was_not_expected(client):
    simulate(client, "payments", mode="wait")
    o = place(client)
    wait_event(client, o["orderId"], "PaymentPending")
    client.post(f"/orders/{o['orderId']}/pay", {}).is_(202)
    wait_for(client, o["orderId"], "SHIPPED")
    simulate(client, "payments", mode="approve")
    approve(client, o, topic="payment.processed")
    wait_event(client, o["orderId"], "OrderRefundRequested")
    publish(client, "inventory.reserved", o["orderId"], reservationId=unique("r")).is_(202)
    wait_event(client, o["orderId"], "OrderReleaseRequested")
    publish(client, "shipment.created", o["orderId"], shipmentId=unique("s"),
            trackingNumber="TRK-7").is_(202)
    wait_event(client, o["orderId"], "OrderShipmentRefused")
    assert order(client, o["orderId"])["status"] == "SHIPPED"


def everything(client):
    of_carts_and_products(client)
    of_good_ends(client)
    of_bad_ends(client)
    of_what_was_not_expected(client)


def said_here(client):
    """The ids of all that the server said by itself, so far."""
    return {e["eventId"] for e in client.all("/events?limit=500") if not e["metadata"].get("messageId")}
