"""Two shops on one broker, told apart by their channels alone."""
import json

import pytest

import shop
from conftest import channel_of
from judge import eventually
from serving import FAST
from tried import metric


class Shop:
    def __init__(self, start, channel):
        self.channel, self.name = channel, channel.broker.name
        options = [o for o in channel.options() if ".group=" not in o]
        self.server = start(*options, *FAST, "--set=simulators.payments.enabled=false")
        channel.joined(self.server)

    def place(self):
        """An order that waits for payments, which are outside."""
        with self.server.client() as c:
            return shop.place(c, shop.add_product(c, stock=10), 1)

    def approve(self, order):
        body = json.dumps({"messageId": f"pay-{order['orderId']}", "payload": {
            "orderId": order["orderId"], "paymentId": "p-1", "amount": order["totalAmount"],
            "currency": order["currency"]}})
        self.channel.put("payment.approved", body.encode(), key=order["orderId"])

    def is_there(self):
        with self.server.client() as c:
            return self.channel.broker.is_heard(c)

    def received(self):
        with self.server.client() as c:
            return metric(c, f'relay_messages_total{{relay="{self.name}",outcome="received"}}')

    def ships(self, order):
        with self.server.client() as c:
            shop.wait_status(c, order["orderId"], "SHIPPED")


@pytest.mark.promise("relay")
def test_two_shops_on_one_broker_take_only_what_is_said_on_their_channels(start, broker):
    shops = [Shop(start, channel_of(broker, name)) for name in ("one shop", "another shop")]
    for each in shops:
        eventually(each.is_there)
    orders = [each.place() for each in shops]
    for each, order in zip(shops, orders):
        each.approve(order)
    for each, order in zip(shops, orders):
        each.ships(order)
        assert each.received() == 1
