"""The adapter for RabbitMQ against rabbitmq-server, and what it sends and takes as others see it."""
import os
import signal

import pytest

from amqp import Client, long, short
from brokers import RabbitServer, make_certificates

MESSAGE_MAX = 1 << 20
FRAME_MAX = 131072  # the adapter's
long_only = pytest.mark.skipif(os.environ.get("ORDERLY_BROKERS") != "full",
                               reason="takes a minute or two; ORDERLY_BROKERS=full runs it")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory, certificates):
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"), certificates,
                          max_message_size=MESSAGE_MAX, frame_max=2 * FRAME_MAX)
    yield server
    server.stop()


@pytest.fixture
def shop(rabbit, drive, request):
    """shop(listens=…, **config) gives a driver with exchange and queue of the test's own."""
    name = request.node.name.replace("test_", "")[:100]

    def make(**config):
        config = {"url": f"amqp://127.0.0.1:{rabbit.port}", "name": "orderly test",
                  "address": f"127.0.0.1:{rabbit.port}", "channel": f"x.{name}",
                  "group": f"q.{name}", **config}
        driver = drive("rabbitmq", **config)
        driver.exchange, driver.queue = config["channel"], config["group"]
        assert driver.create()["code"] == "ok"
        return driver
    return make


@pytest.fixture
def outside(rabbit):
    client = Client(rabbit.port)
    yield client
    client.close()


def connected(driver):
    answer = driver.connect()
    assert answer["code"] == "ok", answer
    return driver


def test_what_is_published_is_acked_and_received_in_order(shop):
    d = connected(shop(listens=["order.*", "payment.*"]))
    for tag in range(1, 51):
        topic = "payment.failed" if tag % 10 == 0 else "order.placed"
        assert d.publish(tag, topic=topic, body=b"%d" % tag)["code"] == "ok"
    assert {e["event"] for e in d.serve_until_ended(*range(1, 51)).values()} == {"acked"}
    received = d.receive(50)
    assert [e["body"] for e in received] == [b"%d" % tag for tag in range(1, 51)]
    assert received[9]["topic"] == "payment.failed" and received[0]["id"] == "m-1"
    assert not d.of("unrouted")


def test_others_see_a_persistent_message_with_its_properties_and_attributes(shop, outside):
    d = connected(shop())
    outside.queue("seen", "order.*", d.exchange)
    d.publish(1, id="id-1", correlation="o-7", body=b"\x00\xff", type="application/octet-stream",
              attributes={"id": "id-1", "type": "order.placed", "subject": "Größe %20 \U0001F600"})
    d.publish(2, topic="order.paid", id="id-2", correlation="", body=b"")
    d.serve_until_ended(1, 2)
    key, seen, body = outside.get("seen")
    assert (key, body) == ("order.placed", b"\x00\xff")
    assert seen.pop("timestamp") > 1_700_000_000
    assert seen == {"content_type": "application/octet-stream", "delivery_mode": 2,
                    "correlation_id": "o-7", "message_id": "id-1", "type": "order.placed",
                    "headers": {"cloudEvents_id": "id-1", "cloudEvents_type": "order.placed",
                                "cloudEvents_subject": "Größe %20 \U0001F600"}}
    key, seen, body = outside.get("seen")
    assert (key, body) == ("order.paid", b"")
    assert "correlation_id" not in seen and "headers" not in seen
    outside.delete("seen")


def test_the_prefix_of_attributes_can_be_another(shop, outside):
    d = connected(shop(listens=["order.*"], attribute_prefix="ce-"))
    outside.publish("order.placed", b"{}", d.exchange,
                    headers={"ce-id": "a", "cloudEvents_id": "b", "ce-": "no name"})
    assert d.receive(1)[0]["attributes"] == {"id": "a"}
    outside.queue("prefixed", "order.*", d.exchange)
    d.publish(1, attributes={"source": "s"})
    d.serve_until_ended(1)
    assert outside.get("prefixed")[1]["headers"] == {"ce-source": "s"}
    outside.delete("prefixed")


def test_the_origin_goes_beside_the_attributes_whatever_their_prefix(shop, outside):
    d = connected(shop(listens=["order.*"], attribute_prefix="orderly-", origin="0f00"))
    outside.queue("original", "order.*", d.exchange)
    d.publish(1, attributes={"source": "s"})
    d.publish(2)
    d.serve_until_ended(1, 2)
    outside.publish("order.placed", b"", d.exchange, headers={"orderly-origin": "0f01"})
    outside.publish("order.placed", b"", d.exchange, headers={"orderly-id": "m"})
    outside.publish("order.placed", b"", d.exchange, headers={
        **{f"orderly-a{i:02}": str(i) for i in range(40)}, "orderly-origin": "0f00"})
    one, two, other, none, many = d.receive(5)
    assert one["attributes"] == {"source": "s"} and two["attributes"] == other["attributes"] == {}
    assert none["attributes"] == {"id": "m"} and len(many["attributes"]) == 24
    assert [m["origin"] for m in (one, two, other, none, many)] == ["0f00", "0f00", "0f01", "", "0f00"]
    assert outside.get("original")[1]["headers"] == {"orderly-source": "s", "orderly-origin": "0f00"}
    assert outside.get("original")[1]["headers"] == {"orderly-origin": "0f00"}
    outside.delete("original")


def test_what_others_send_comes_as_they_meant_it(shop, outside):
    d = connected(shop(listens=["stock.*"], body_max=1000))
    outside.publish("stock.low", b"bare", d.exchange)
    outside.publish("stock.low", b"", d.exchange, message_id="x" * 255, content_type="text/plain")
    outside.publish("stock.low", b"typed", d.exchange, headers={
        "cloudEvents_id": "text", "cloudEvents:source": "colon", "cloudEvents_small": ("b", -3),
        "cloudEvents_short": ("s", -300), "cloudEvents_int": ("I", -70000),
        "cloudEvents_long": -(1 << 40), "cloudEvents_u8": ("B", 200), "cloudEvents_u32": ("i", 1 << 31),
        "cloudEvents_yes": True, "cloudEvents_no": False, "cloudEvents_bytes": ("x", "raw"),
        "cloudEvents_time": ("T", 1700000000), "cloudEvents_far": ("T", (1 << 64) - 1),
        "cloudEvents_real": ("d", 1.5), "cloudEvents_void": ("V", None),
        "cloudEvents_table": {"a": "b"}, "cloudEvents_": "no name", "other": "not ours",
        "cloudEvents_list": ("A", b"S" + long("a")), "cloudEvents_u16": ("u", 60000),
        "cloudEvents_price": ("D", b"\2" + bytes(4)), "cloudEvents_small_real": ("f", 0.5),
        "cloudEvents_last": "text"})
    outside.publish("stock.low", b"many", d.exchange,
                    headers={f"cloudEvents_a{i:02}": str(i) for i in range(40)})
    outside.publish("stock.low", b"y" * 1000, d.exchange)
    outside.publish("stock.low", b"z" * 400_000, d.exchange)
    outside.publish("stock.low", b"last", d.exchange)
    bare, plain, typed, many, full, large, last = d.receive(7)
    assert (bare["topic"], bare["id"], bare["type"], bare["attributes"], bare["body"]) == (
        "stock.low", "", "", {}, b"bare")
    assert (plain["id"], plain["type"], plain["body"]) == ("x" * 255, "text/plain", b"")
    assert typed["attributes"] == {
        "id": "text", "source": "colon", "small": "-3", "short": "-300", "int": "-70000",
        "long": str(-(1 << 40)), "u8": "200", "u32": str(1 << 31), "yes": "true", "no": "false",
        "bytes": "raw", "time": "2023-11-14T22:13:20.000Z", "far": "9999-12-31T23:59:59.999Z",
        "u16": "60000", "last": "text"}
    assert many["attributes"] == {f"a{i:02}": str(i) for i in range(24)} and many["is_too_large"]
    assert full["body"] == b"y" * 1000 and not full["is_too_large"]
    assert large["body"] == b"z" * 1000 and large["is_too_large"]
    assert last["body"] == b"last"


def test_properties_longer_than_a_frame_of_ours_make_a_message_too_large_and_stop_nothing(
        shop, rabbit):
    """A broker whose own limit is larger passes them on in one frame, whatever was agreed on with us."""
    d = connected(shop(listens=["stock.*"]))
    outside = Client(rabbit.port, frame_max=2 * FRAME_MAX)
    longest = FRAME_MAX - 8 - 12 - 2 - 4 - len(short("other")) - 1 - 4 - 1
    for n in (longest, longest + 1, 2 * FRAME_MAX - 1000):
        outside.publish("stock.low", b"x" * 1000, d.exchange, headers={"other": "y" * n},
                        delivery_mode=2)
    outside.publish("stock.low", b"last", d.exchange)
    received = d.receive(4)
    assert [e["is_too_large"] for e in received] == [False, True, True, False]
    assert [e["body"] for e in received] == [b"x" * 1000] * 3 + [b"last"]
    outside.close()


def test_a_message_that_nobody_hears_is_told_before_its_ack(shop):
    d = connected(shop(listens=["order.*"]))
    for tag in range(1, 41):
        d.publish(tag, topic="order.placed" if tag % 2 else "shipment.sent", body=b"b" * 200_000
                  if tag == 2 else b"{}")
    d.serve_until_ended(*range(1, 41))
    assert sorted(e["tag"] for e in d.of("unrouted")) == list(range(2, 41, 2))
    for tag in range(2, 41, 2):
        said = [e["event"] for e in d.of("unrouted", "acked") if e["tag"] == tag]
        assert said == ["unrouted", "acked"]


def test_what_is_not_acked_comes_again_and_what_is_acked_does_not(shop):
    d = connected(shop(listens=["order.*"]))
    for tag in range(1, 5):
        d.publish(tag, body=b"%d" % tag)
    first = d.receive(4)
    assert d.ack(first[0])["code"] == d.ack(first[2])["code"] == "ok"
    d.do("disconnect")
    connected(d)
    again = d.receive(6)[4:]
    assert [e["body"] for e in again] == [b"2", b"4"]
    assert not {e["handle"] for e in again} & {e["handle"] for e in first}
    # Handles of an earlier connection, of no message, and one twice: passed over.
    for handle in (first[1]["handle"], 0, 1 << 60, again[0]["handle"], again[0]["handle"]):
        assert d.do("ack", handle)["code"] == "ok"
    d.kill()  # without a word to the broker
    d = connected(shop(listens=["order.*"]))
    assert [e["body"] for e in d.receive(1)][0] in (b"2", b"4")


def test_no_more_come_than_may_wait_for_their_ack(shop, outside):
    d = connected(shop(listens=["order.*"], unacked_max=3))
    for i in range(7):
        outside.publish("order.placed", b"%d" % i, d.exchange)
    outside.queue("after", None)  # answered: the broker has all of them
    d.receive(3)
    d.do("serve", 300)
    assert len(d.of("received")) == 3
    for i in range(7):
        d.ack(d.receive(i + 1)[i])
    assert [e["body"] for e in d.of("received")] == [b"%d" % i for i in range(7)]
    outside.delete("after")


def test_no_more_come_than_there_is_room_for(shop, outside):
    d = connected(shop(listens=["stock.*"]))
    d.do("room", 200)
    for n in range(4):
        outside.publish("stock.low", b"%d" % n * 100, d.exchange)
    first, second = d.receive(2)
    d.publish(1)
    d.serve_until_ended(1)  # what else there is goes on
    for _ in range(5):
        assert d.do("serve", 50)["code"] == "ok"
    assert [m["body"][:1] for m in d.of("received")] == [b"0", b"1"]
    assert d.ack(first)["code"] == d.ack(second)["code"] == "ok"
    d.do("room", 101)  # a byte more than the next one needs
    assert [m["body"][:1] for m in d.receive(4)][2:] == [b"2", b"3"]


def test_a_broker_that_goes_while_there_is_no_room_is_lost(shop, rabbit, outside, proxy):
    door = proxy(rabbit.port)
    d = connected(shop(listens=["stock.*"], url=f"amqp://127.0.0.1:{door.port}",
                       address=f"127.0.0.1:{door.port}"))
    d.do("room", 0)
    outside.publish("stock.low", b"1", d.exchange)
    d.do("serve", 50)
    door.cut()
    assert d.serve_until_lost()
    assert not d.of("received")


def test_nothing_more_is_received_after_stop_receiving_and_acks_still_go(shop, outside):
    d = connected(shop(listens=["order.*"]))
    d.publish(1, body=b"first")
    [first] = d.receive(1)
    d.do("stop_receiving")
    d.publish(2, body=b"second")
    d.ack(first)
    d.serve_until_ended(1, 2)
    d.do("disconnect")
    assert [m[2] for m in iter(lambda: outside.get(d.queue), None)] == [b"second"]


def test_a_queue_that_is_deleted_ends_the_connection_and_is_made_again(shop, outside):
    d = connected(shop(listens=["order.*"]))
    outside.delete(d.queue)
    assert "was deleted" in d.serve_until_lost()
    d.do("disconnect")
    connected(d)
    d.publish(1)
    assert d.receive(1)


def test_a_queue_of_other_arguments_is_taken_as_it_is(shop, outside):
    d = shop(listens=["order.*"])
    outside.queue(d.queue, arguments={"x-max-length": 1000})
    connected(d)
    d.publish(1)
    assert d.receive(1)


@pytest.mark.parametrize("change, reason", [
    ({"declares": 0}, "404 NOT_FOUND - no exchange"),
    ({"user": "guest", "password": "wrong"}, "403 ACCESS_REFUSED"),
    ({"user": "nobody", "password": ""}, "403 ACCESS_REFUSED"),
    ({"url": "amqp://127.0.0.1:{port}/elsewhere"}, "vhost elsewhere not found"),
    ({"channel": "amq.direct-of-ours"}, "403 ACCESS_REFUSED"),
])
def test_what_the_broker_does_not_let_in_fails_with_its_reason(shop, rabbit, change, reason):
    change = {k: v.format(port=rabbit.port) if isinstance(v, str) else v for k, v in change.items()}
    d = shop(**change)
    for _ in range(2):
        answer = d.connect()
        assert answer["code"] == "lost" and reason in answer["why"]
        assert "wrong" not in answer["why"]


def test_the_vhost_of_a_url_is_unescaped(shop, rabbit):
    connected(shop(url=f"amqp://127.0.0.1:{rabbit.port}/%2f"))


def test_a_message_larger_than_the_broker_takes_costs_one_connection_and_is_then_refused(shop):
    d = connected(shop(listens=["order.*"]))
    assert d.do("fill", 1, "order.placed", "k", "m-1", "c", MESSAGE_MAX)["code"] == "ok"
    d.serve_until_ended(1)
    assert d.do("fill", 2, "order.placed", "k", "m-2", "c", MESSAGE_MAX + 1)["code"] == "ok"
    assert "larger than" in d.serve_until_lost()
    d.do("disconnect")
    connected(d)
    answer = d.do("fill", 3, "order.placed", "k", "m-2", "c", MESSAGE_MAX + 1)
    assert answer["code"] == "refused" and "max_message_size" in answer["why"]
    assert d.do("fill", 4, "order.placed", "k", "m-4", "c", MESSAGE_MAX)["code"] == "ok"
    d.serve_until_ended(4)


def tls(shop, rabbit, certificates, **change):
    config = {"url": f"amqps://127.0.0.1:{rabbit.tls_port}", "tls_ca": certificates / "ca.pem",
              "tls_certificate": certificates / "client.pem",
              "tls_key": certificates / "client.key", "user": "guest", "password": "guest", **change}
    return shop(listens=["order.*"], **{k: str(v) for k, v in config.items() if v})


def test_by_tls_large_and_many_messages_go_both_ways(shop, rabbit, certificates):
    d = connected(tls(shop, rabbit, certificates))
    d.do("quietly", 1)
    d.do("fill", 1, "order.placed", "k", "m-1", "c", 262144)
    [large] = d.receive(1)
    d.serve_until_ended(1)
    assert large["length"] == 262144
    d.ack(large)
    sent = d.do("flood", 10, 2000, "order.placed", 300, 60000)
    assert (sent["code"], sent["acked"], sent["unrouted"]) == ("ok", 2000, 0)
    taken = d.do("take", 2000 - sent["received"], 60000)
    assert taken["code"] == "ok" and taken["received"] + sent["received"] == 2000


@pytest.mark.parametrize("change, reason", [
    ({"tls_ca": "other.pem"}, "certificate is not accepted"),
    ({"tls_ca": None}, "certificate is not accepted"),
    ({"tls_certificate": None, "tls_key": None}, ""),
    ({"tls_ca": "missing.pem"}, "missing.pem"),
    ({"tls_key": "server.key"}, "server.key"),
    ({"tls_key": "locked.key"}, "locked.key"),
])
def test_tls_that_does_not_hold_lets_nothing_through(shop, rabbit, certificates, change, reason):
    change = {k: v and certificates / v for k, v in change.items()}
    answer = tls(shop, rabbit, certificates, **change).connect()
    assert answer["code"] == "lost" and reason in answer["why"]


def test_a_name_in_the_certificate_that_is_not_the_host_is_not_accepted(shop, rabbit, certificates):
    """The certificate names localhost and 127.0.0.1; 127.1 is the same machine by another name."""
    answer = tls(shop, rabbit, certificates, url=f"amqps://localhost:{rabbit.tls_port}").connect()
    assert answer["code"] == "ok", answer
    answer = tls(shop, rabbit, certificates, url=f"amqps://127.1:{rabbit.tls_port}").connect()
    assert answer["code"] == "lost" and "certificate is not accepted" in answer["why"]


def test_a_cut_connection_is_told_and_all_arrives_after_it(shop, rabbit, proxy):
    p = proxy(rabbit.port)
    d = connected(shop(url=f"amqp://127.0.0.1:{p.port}", listens=["order.*"]))
    p.mute()
    for tag in range(1, 6):
        d.publish(tag)
    d.do("serve", 100)
    p.cut()
    d.serve_until_lost()
    d.do("disconnect")
    p.mute(False)
    connected(d)
    for tag in range(1, 6):
        d.publish(tag)
    d.serve_until_ended(*range(1, 6))
    d.serve_until(lambda: {e["id"] for e in d.of("received")} == {f"m-{i}" for i in range(1, 6)})


@long_only
def test_what_was_confirmed_survives_the_brokers_crash(shop, rabbit, proxy):
    door = proxy(rabbit.port)
    d = connected(shop(url=f"amqp://127.0.0.1:{door.port}", listens=["order.*"]))
    d.do("quietly", 1)
    d.do("stop_receiving")
    sent = d.do("flood", 1, 2000, "order.placed", 300, 60000)
    assert sent["acked"] == 2000
    door.aim(None)
    rabbit.stop()
    d.serve_until_lost()
    d.do("disconnect")
    assert d.connect(1000)["code"] == "lost"
    rabbit.start()
    door.aim(rabbit.port)
    connected(d)
    # stop_receiving was of the connection before; some of it may come twice.
    assert d.do("take", 2000, 60000)["received"] >= 2000


@long_only
def test_a_stopped_broker_is_lost_in_half_a_minute(shop, rabbit):
    d = connected(shop(listens=["order.*"]))
    rabbit.signal(signal.SIGSTOP)
    try:
        sent = d.do("flood", 1, 1_000_000, "order.placed", 10000, 60000)
        assert sent["code"] == "lost" and "nothing was heard" in sent["why"]
        assert sent["ms"] < 45000
        d.do("disconnect")
        assert d.connect(2000)["code"] == "lost"
    finally:
        rabbit.signal(signal.SIGCONT)
    connected(d)
    d.publish(1_000_001)
    d.serve_until_ended(1_000_001)


@long_only
def test_a_broker_in_an_alarm_takes_nothing_and_goes_on_after_it(shop, rabbit):
    d = connected(shop())
    rabbit.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        sent = d.do("flood", 1, 200_000, "order.placed", 1000, 5000)
        assert sent["code"] in ("busy", "ok") and sent["acked"] < 200_000
        d.serve_until(lambda: d.of("blocked"))
        assert "low on memory" in d.of("blocked")[0]["why"]
    finally:
        rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    d.serve_until(lambda: d.publish(300_000)["code"] == "ok")
    d.serve_until_ended(300_000)
