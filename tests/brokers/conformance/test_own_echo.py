"""A context that is switched off while the server runs: what it said here before is on the channel that is
listened to from then on, and is not taken for the word of another."""
import json

import pytest

import shop
from judge import arrives, eventually, metric, orders, settled


def switch(client, **settings):
    client.put("/simulators/payments", {**client.get("/simulators/payments").json, **settings}).is_(200)


def outside_pays(channel, client, order):
    """Says it again and again, as what is said before a queue is bound is nobody's."""
    body = json.dumps({"messageId": f"pay-{order['orderId']}", "payload": {
        "orderId": order["orderId"], "paymentId": f"p-{order['orderId']}",
        "amount": order["totalAmount"], "currency": order["currency"]}}).encode()

    def is_shipped():
        channel.put("payment.approved", body, {"message-id": f"pay-{order['orderId']}"},
                    key=order["orderId"])
        path = f"/orders/{order['orderId']}?until=SHIPPED&wait=1s"
        return client.get(path).is_(200).json["status"] == "SHIPPED"
    eventually(is_shipped)


@pytest.mark.promise("relay")
def test_what_a_context_said_before_it_was_switched_off_is_not_heard_again(serve, channel):
    server, name = serve(), channel.broker.name
    with server.client() as c:
        sku = shop.add_product(c, stock=1000)

        def some_orders():
            ids = orders(c, 5, sku) + orders(c, 5, sku, "pay_first")
            settled(c, ids)
            return ids

        def own():
            return metric(c, f'relay_messages_total{{relay="{name}",outcome="own"}}')
        ids, paid = some_orders(), []
        if "remembers" not in channel.broker.promises:  # what was said before a queue was bound is gone
            switch(c, enabled=False)
            paid.append(shop.place(c, sku, 1))
            outside_pays(channel, c, paid[-1])  # it listens now
            switch(c, enabled=True)
            ids = some_orders()
        arrives(c, channel, ("order.", "stock.", "inventory.", "shipment."))
        before = {id: shop.events_of(c, id) for id in ids}
        switch(c, enabled=False)
        eventually(lambda: own() >= len(ids))
        paid.append(shop.place(c, sku, 1))
        outside_pays(channel, c, paid[-1])
        assert {id: shop.events_of(c, id) for id in ids} == before
        taken = [e["metadata"]["messageId"] for e in c.all("/events?limit=500")
                 if "messageId" in e["metadata"]]
        assert sorted(taken) == sorted(f"pay-{o['orderId']}" for o in paid)
        assert c.all("/dead-letters") == []
