"""kcat reads what the server publishes to Kafka: who follows one order finds it by its key, and all
that is said of a message in its headers."""
import json
import re

import pytest

import kafka
from brokers import KafkaMock
from client import eventually
from serving import FAST
from shop import checkout, place, wait_for

RELAYED = ("order.", "payment.", "stock.", "inventory.", "shipment.")
PARTITIONS = 4


@pytest.fixture
def cluster(need_adapter):
    kafka.need()
    need_adapter("kafka")
    mock = KafkaMock()
    mock.do("topic", "orders", PARTITIONS)
    yield mock
    mock.stop()


def two_orders(client):
    ids = [place(client)["orderId"], checkout(client)["orderId"]]
    wait_for(client, ids[0], "SHIPPED")
    wait_for(client, ids[1], "STOCK_RESERVED")
    return ids


def topic_of(client, address):
    """What is in it when all that the server says has arrived, and what the server says: {id: message}"""
    def is_there():
        seen = kafka.read(address)
        said = {m["messageId"]: m for m in client.all("/messages?limit=500")
                if m["topic"].startswith(RELAYED)}
        return {m["headers"]["message-id"] for m in seen} == set(said) and (seen, said)
    return eventually(is_there, 120)


def check_places(seen, said, ids):
    """Of each order everything is in one partition, in the order of the log."""
    for id in ids:
        own = [m for m in seen if m["key"] == id]
        assert len({m["partition"] for m in own}) == 1
        # What is published twice keeps the place of its first time.
        first = list(dict.fromkeys(m["headers"]["message-id"] for m in own))
        assert first == [m["messageId"] for m in said.values() if m["correlationId"] == id]


def origin_of(seen):
    """Takes it off the headers: of all messages the same, and behind it each one's id."""
    said = [(m["headers"].pop("orderly-origin").split(" "), m["headers"]["message-id"]) for m in seen]
    assert all(len(words) == 2 and words[1] == id for words, id in said)
    origin, = {words[0] for words, _ in said}
    assert re.fullmatch("[0-9a-f]{32}", origin)
    return origin


def test_json_has_the_orders_id_for_its_key_and_headers_beside_it(start, cluster):
    server = start(*FAST, "--relay", f"kafka://{cluster.address}")
    with server.client() as c:
        ids = two_orders(c)
        seen, said = topic_of(c, cluster.address)
        check_places(seen, said, ids)
        assert origin_of(seen)
        for m in seen:
            message = said[m["headers"]["message-id"]]
            assert m["key"] == message["correlationId"] == message["payload"].get("orderId", m["key"])
            assert m["headers"] == {"topic": message["topic"], "message-id": message["messageId"],
                                    "correlation-id": message["correlationId"],
                                    "content-type": "application/json"}
            assert json.loads(m["payload"]) == message


def test_cloud_events_have_their_attributes_in_headers(start, cluster):
    server = start(*FAST, "--relay", f"kafka://{cluster.address}",
                   "--set=relay.kafka.encoding=cloudevents")
    with server.client() as c:
        ids = two_orders(c)
        seen, said = topic_of(c, cluster.address)
        check_places(seen, said, ids)
        assert origin_of(seen)
        events = {e["id"]: e for e in c.get("/messages?limit=500&encoding=cloudevents").is_(200).json}
        for m in seen:
            headers = m["headers"]
            event = dict(events[headers.pop("message-id")])
            assert headers.pop("topic") == event["type"] == headers["ce_type"]
            assert headers.pop("correlation-id") == event["correlationid"] == m["key"]
            assert headers.pop("content-type") == event.pop("datacontenttype")
            assert json.loads(m["payload"]) == event.pop("data")
            assert {f"ce_{name}": value for name, value in event.items()} == headers
