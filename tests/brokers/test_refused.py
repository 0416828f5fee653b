"""A broker that is not there is told in the same words, whichever it is."""
import pytest


@pytest.mark.parametrize("name, scheme", [("nats", "nats"), ("kafka", "kafka"), ("rabbitmq", "amqp")])
def test_a_port_where_nobody_listens_is_said_in_the_systems_words(name, scheme, drive, refusing):
    address = f"127.0.0.1:{refusing}"
    d = drive(name, url=f"{scheme}://{address}", address=address, name="orderly test",
              channel="orders", group="g")
    assert d.create()["code"] == "ok"
    answer = d.connect()
    assert answer["code"] == "lost"
    # librdkafka says before it where.
    assert answer["why"].endswith("Connection refused"), answer
