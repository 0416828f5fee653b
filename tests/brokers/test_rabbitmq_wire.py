"""The adapter for RabbitMQ against a broker that the test plays itself, word by word."""
import os
import random
import struct
import time

import pytest

from amqp import (ACK, BLOCKED, BODY, CANCEL, CHANNEL_CLOSE, CLOSE, CLOSE_OK, DELIVER, HEADER,
                  HEARTBEAT, METHOD, NACK, RETURN, TUNE, UNBLOCKED, FakeBroker, long, properties, short)


long_only = pytest.mark.skipif(os.environ.get("ORDERLY_BROKERS") != "full",
                               reason="takes a minute or two; ORDERLY_BROKERS=full runs it")


@pytest.fixture
def fake():
    brokers = []

    def make(**kwargs):
        brokers.append(FakeBroker(**kwargs))
        return brokers[-1]
    yield make
    for broker in brokers:
        broker.close()


@pytest.fixture
def shop(drive):
    def make(*brokers, **config):
        hosts = ",".join(f"127.0.0.1:{b.port}" for b in brokers)
        driver = drive("rabbitmq", **{"url": f"amqp://{hosts}/v%2fh", "name": "shop", "address": hosts,
                                      "channel": "orders", "group": "q", **config})
        assert driver.create()["code"] == "ok"
        return driver
    return make


def connect(driver, broker, receives=False):
    """The broker's ends: of what is published, and of what is received."""
    driver.say("connect", 30000)
    out = broker.connection()
    back = broker.connection() if receives else None
    answer = driver.result()
    assert answer["code"] == "ok", answer
    return (out, back) if receives else out


def disconnect(driver, broker):
    """The broker goes first, so that no answer is waited for."""
    for peer in broker.peers:
        peer.close()
    driver.do("disconnect")


def ack(peer, number, multiple=False, method=ACK):
    peer.say(method, struct.pack(">Q", number) + bytes([multiple]))


def published(driver, peer, *tags, **more):
    for tag in tags:
        assert driver.publish(tag, **more)["code"] == "ok"
    driver.do("serve", 0)
    return [peer.hear_publish() for _ in tags]


def ends(driver, *tags):
    return {tag: e["event"] for tag, e in driver.serve_until_ended(*tags).items()}


def bring_back(peer, id, body=b"{}"):
    peer.say(RETURN, struct.pack(">H", 312) + short("NO_ROUTE") + short("orders") + short("t"))
    peer.content(body, message_id=id)


def deliver(peer, number, body=b"{}", **given):
    peer.say(DELIVER, short("orderly") + struct.pack(">Q", number) + b"\0" + short("orders") +
             short("order.placed"))
    peer.content(body, **given)


def test_it_says_who_it_is_and_what_it_can_do(shop, fake):
    broker = fake()
    out, back = connect(shop(broker, listens=["order.*"], user="me", password="my word"), broker, True)
    assert out.about["connection_name"] == "shop out" and back.about["connection_name"] == "shop in"
    for able in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"):
        assert out.about["capabilities"][able] is True
    assert out.login == ("PLAIN", b"\0me\0my word")
    assert (out.vhost, out.tuned) == ("v/h", (1, 131072, 10))


def test_without_a_user_it_is_guest(shop, fake):
    broker = fake()
    assert connect(shop(broker), broker).login == ("PLAIN", b"\0guest\0guest")


def test_confirms_come_in_any_order_one_by_one_and_many_at_once(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    published(d, out, *range(11, 21))
    ack(out, 3)
    ack(out, 1)
    assert ends(d, 13, 11) == {13: "acked", 11: "acked"}
    ack(out, 6, multiple=True)
    assert set(ends(d, 12, 14, 15, 16)) == {12, 14, 15, 16}
    ack(out, 2)  # again, and one below: nothing more is told
    ack(out, 9, method=NACK)
    assert ends(d, 19) == {19: "again"}
    ack(out, 0, multiple=True)
    assert ends(d, 17, 18, 20) == {17: "acked", 18: "acked", 20: "acked"}
    published(d, out, 21, 22)
    ack(out, 12, multiple=True, method=NACK)
    assert ends(d, 21, 22) == {21: "again", 22: "again"}


def test_one_that_is_confirmed_last_holds_back_no_more_than_it_must(shop, fake):
    broker = fake()
    d = shop(broker, window=4)
    out = connect(d, broker)
    published(d, out, 1, 2, 3, 4)
    for number in range(2, 9):  # the first stays in the air
        ack(out, number)
        assert ends(d, number) == {number: "acked"}
        if number < 5:
            published(d, out, number + 3)
        elif number < 6:
            published(d, out, 8)
    assert d.publish(9)["code"] == "busy"
    ack(out, 1)
    assert ends(d, 1) == {1: "acked"}
    published(d, out, 9)


@pytest.mark.parametrize("number, multiple", [(0, False), (4, False), (4, True)])
def test_a_confirm_of_what_was_not_sent_ends_the_connection(shop, fake, number, multiple):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    published(d, out, 1, 2, 3)
    ack(out, number, multiple)
    assert "confirms" in d.serve_until_lost()


def test_what_comes_back_is_found_by_its_id_with_whatever_body(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    published(d, out, 1, 2, 3, 4)
    for tag, body in ((2, b"x" * 300_000), (4, b""), (1, b"{}"), (9, b"nobody's")):
        bring_back(out, f"m-{tag}", body)
    ack(out, 4, multiple=True)
    ends(d, 1, 2, 3, 4)
    assert [e["tag"] for e in d.of("unrouted")] == [2, 4, 1]


def test_while_it_is_blocked_it_takes_nothing_and_hears_and_acks_all_the_same(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    out, back = connect(d, broker, True)
    published(d, out, 1)
    out.say(BLOCKED, short("low on\r\nmemory"), 0)
    d.serve_until(lambda: d.of("blocked"))
    assert d.of("blocked")[0]["why"] == "the broker takes no messages for now: low on  memory"
    ack(out, 1)
    assert ends(d, 1) == {1: "acked"}
    assert d.publish(2)["code"] == "busy"
    deliver(back, 1)
    d.ack(d.receive(1)[0])
    d.do("serve", 0)
    assert back.hear(ACK).number(8) == 1
    out.say(UNBLOCKED, b"", 0)
    out.send(HEARTBEAT, b"", 0)
    d.serve_until(lambda: d.publish(2)["code"] == "ok")
    d.do("serve", 0)
    assert out.hear_publish()[2]["message_id"] == "m-2"
    assert [e["why"] for e in d.of("blocked")][1:] == [""]


def test_a_connection_begins_unblocked(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    out.say(BLOCKED, short("low on disk"), 0)
    d.serve_until(lambda: d.of("blocked"))
    out.close()
    d.serve_until_lost()
    d.do("disconnect")
    out = connect(d, broker)
    published(d, out, 1)


def test_a_broker_that_reads_nothing_gets_a_bounded_amount_and_keeps_nobody_waiting(shop, fake):
    broker = fake()
    d = shop(broker, window=65536)
    out = connect(d, broker)
    sent, busy = 0, 0
    while busy < 5:  # TCP's buffers, of some megabytes, and then its own
        answer = d.do("fill", sent + 1, "order.placed", "k", f"m-{sent + 1}", "c", 200_000)
        assert answer["code"] in ("ok", "busy")
        busy = busy + 1 if answer["code"] == "busy" else 0
        sent += not busy
        assert sent < 2000
        assert not busy or d.do("serve", 50)["code"] == "ok"
    for number in range(1, sent + 1):
        _, _, seen, body = out.hear_publish_while(lambda: d.do("serve", 0))
        assert seen["message_id"] == f"m-{number}" and len(body) == 200_000
    ack(out, sent, multiple=True)
    assert set(ends(d, *range(1, sent + 1)).values()) == {"acked"}
    published(d, out, sent + 1)


def beats_four_times(driver, out):
    """Whether it does, each time after the broker did. False: it lost patience, as it should where this
    test gets no processor for two seconds."""
    for _ in range(4):
        heard = []

        def beat():
            kind, channel, data = out.frame_if_any()
            if kind:
                heard.append((kind, channel, data))
            return bool(heard)
        out.send(HEARTBEAT, b"", 0)
        if driver.serve_until(beat)["code"] == "lost":
            return False
        assert heard == [(HEARTBEAT, 0, b"")]
    return True


def test_a_broker_that_only_beats_is_well_and_a_silent_one_is_lost(shop, fake):
    broker = fake(heartbeat=1)
    d = shop(broker)
    out = connect(d, broker)
    assert out.tuned[2] == 1
    for _ in range(20):
        if beats_four_times(d, out):
            break
        d.do("disconnect")
        out = connect(d, broker)
    else:
        pytest.fail("it never beats four times")
    assert "nothing was heard of it for 2 s" in d.serve_until_lost()


@pytest.mark.parametrize("busy", [0, 1])
def test_each_way_has_its_heartbeats_while_the_other_has_all_the_work(shop, fake, busy):
    broker = fake(heartbeat=1)
    d = shop(broker, listens=["order.*"])
    deadline = time.monotonic() + 60
    while True:
        ways = connect(d, broker, True)
        number, kind, code = 0, None, "ok"
        while kind is None and code == "ok":
            assert time.monotonic() < deadline, "the silent way has no heartbeat"
            number += 1
            for peer in ways:
                peer.send(HEARTBEAT, b"", 0)
            if busy:
                deliver(ways[1], number)
            else:
                bring_back(ways[0], "nobody's")
            code = d.do("serve", 0)["code"]
            for e in d.of("received"):
                d.ack(e)
            d.events.clear()
            kind, _, _ = ways[1 - busy].frame_if_any()
        if kind is not None:
            assert kind == HEARTBEAT
            return
        disconnect(d, broker)  # it got no processor for two seconds, and lost patience


def test_what_it_never_takes_is_refused_and_the_limits_are_the_protocols(shop, fake):
    broker = fake(frame_max=4096)
    d = shop(broker)
    out = connect(d, broker)
    assert d.publish(1, topic="t" * 256)["code"] == "refused"
    assert d.publish(1, id="i" * 256)["code"] == "refused"
    assert d.publish(1, correlation="c" * 256)["code"] == "refused"
    assert d.publish(1, type="t" * 256)["code"] == "refused"
    assert d.publish(1, attributes={"n" * 117: "v"})["code"] == "refused"
    answer = d.publish(1, attributes={"a": "v" * 4096})
    assert answer["code"] == "refused" and "4096" in answer["why"]
    [(_, key, seen, body)] = published(
        d, out, 1, topic="t" * 255, id="i" * 255, correlation="c" * 255, type="y" * 255,
        attributes={"n" * 116: "v" * 2000}, body=b"b" * 10_000)
    assert key == "t" * 255 and body == b"b" * 10_000
    assert (seen["message_id"], seen["correlation_id"]) == ("i" * 255, "c" * 255)
    assert seen["headers"] == {"cloudEvents_" + "n" * 116: "v" * 2000}
    ack(out, 1)
    assert ends(d, 1) == {1: "acked"}


def test_a_topic_that_the_broker_forbids_costs_one_connection_and_is_then_refused(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    published(d, out, 1, 2)
    out.say(CHANNEL_CLOSE, struct.pack(">H", 403) + short(
        "ACCESS_REFUSED - write access to topic 'order.placed' in exchange 'orders' in vhost '/' "
        "refused for user 'shop'") + struct.pack(">HH", 60, 40))
    assert "403 ACCESS_REFUSED" in d.serve_until_lost()
    disconnect(d, broker)
    out = connect(d, broker)
    answer = d.publish(1)
    assert answer["code"] == "refused" and "order.placed" in answer["why"]
    published(d, out, 2, topic="order.paid")


@long_only
def test_a_limit_of_the_brokers_is_tried_again_after_a_minute(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    published(d, out, 1, body=b"12345")
    out.say(CHANNEL_CLOSE, struct.pack(">H", 406) + short(
        "PRECONDITION_FAILED - message size 5 is larger than configured max size 4") +
        struct.pack(">HH", 60, 40))
    assert "406 PRECONDITION_FAILED" in d.serve_until_lost()
    disconnect(d, broker)
    out = connect(d, broker)
    answer = d.publish(1, body=b"12345")
    assert answer["code"] == "refused" and "max_message_size = 4" in answer["why"]
    published(d, out, 2, body=b"1234")

    def is_taken():
        out.send(HEARTBEAT, b"", 0)
        return d.publish(1, body=b"12345")["code"] == "ok"
    assert d.serve_until(is_taken)["code"] == "ok"
    d.do("serve", 0)
    assert out.hear_publish()[3] == b"12345"


def test_the_brokers_last_words_are_the_reason(shop, fake):
    broker = fake()
    d = shop(broker)
    out = connect(d, broker)
    out.say(CLOSE, struct.pack(">H", 320) + short("CONNECTION_FORCED - shut\r\ndown") + bytes(4), 0)
    assert d.serve_until_lost() == ("the broker ended the connection: 320 "
                                    "CONNECTION_FORCED - shut  down")
    d.do("disconnect")
    out = connect(d, broker)
    out.close()
    assert d.serve_until_lost()


def test_a_queue_that_goes_away_is_lost(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    _, back = connect(d, broker, True)
    back.say(CANCEL, short("orderly") + b"\1")
    assert "'q' was deleted" in d.serve_until_lost()


def test_more_than_may_wait_for_their_ack_are_not_taken(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"], unacked_max=2)
    _, back = connect(d, broker, True)
    for number in (1, 2):
        deliver(back, number)
    for e in d.receive(2):
        assert d.ack(e)["code"] == "ok"
    for number in (3, 4, 5):
        deliver(back, number)
    assert "more than the 2 messages" in d.serve_until_lost()
    assert len(d.of("received")) == 4


def header(peer, number, flags, data, body=b"{}"):
    """A message whose properties are these bytes."""
    peer.say(DELIVER, short("orderly") + struct.pack(">Q", number) + b"\0" + short("orders") +
             short("order.placed"))
    peer.send(HEADER, struct.pack(">HHQH", 60, 0, len(body), flags) + data)
    peer.send(BODY, body)


def test_headers_are_read_however_deep_they_are_nested(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    _, back = connect(d, broker, True)
    deep = b""
    while len(deep) < 130_900:
        deep = b"A" + struct.pack(">I", len(deep)) + deep
    header(back, 1, 1 << 13, long(short("deep") + deep + short("cloudEvents_id") + b"S" + long("a")))
    assert d.receive(1)[0]["attributes"] == {"id": "a"}


def test_headers_of_a_kind_that_nobody_knows_end_what_is_read_of_them(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    _, back = connect(d, broker, True)
    known = short("cloudEvents_id") + b"S" + long("a")
    for number, rest in enumerate((b"", b"\1", short("x"), short("x") + b"?" + bytes(9),
                                   short("x") + b"S" + b"\0\0\0\4abc"), start=1):
        header(back, number, 1 << 13, long(known + rest))
        assert d.receive(number)[number - 1]["attributes"] == {"id": "a"}


def test_frames_that_come_byte_by_byte_are_whole(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    out, back = connect(d, broker, True)
    published(d, out, 1)
    for peer in (out, back):
        socket, peer.socket = peer.socket, Kept()
        if peer is out:
            bring_back(peer, "m-1", b"x" * 30)
            ack(peer, 1)
        else:
            deliver(peer, 1, b"y" * 30, message_id="id")
        peer.socket, pieces = socket, peer.socket.data
        for i in range(len(pieces)):
            socket.sendall(pieces[i:i + 1])
            assert d.do("serve", 0)["code"] == "ok"
    ends(d, 1)
    assert d.receive(1)[0]["body"] == b"y" * 30
    assert [e["event"] for e in d.of("unrouted", "acked")] == ["unrouted", "acked"]


class Kept:
    """A socket that only keeps what is sent."""

    def __init__(self):
        self.data = b""

    def sendall(self, data):
        self.data += data


@pytest.mark.parametrize("says", [
    lambda p: p.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    lambda p: p.socket.sendall(struct.pack(">BHI", METHOD, 1, 1 << 30)),
    lambda p: p.socket.sendall(struct.pack(">BHI", METHOD, 1, 4) + bytes(5)),
    lambda p: p.say((99, 99)),
    lambda p: p.say(TUNE, bytes(8)),
    lambda p: p.say(ACK, bytes(9), channel=2),
    lambda p: p.send(METHOD, b"\0\x3c\0"),
    lambda p: p.send(METHOD, struct.pack(">HH", *BLOCKED) + b"\5lo"),
    lambda p: p.say(BLOCKED, short("w" * 255) + bytes(20_000), 0),
    lambda p: p.send(4, b"of no kind"),
    lambda p: p.send(BODY, b"of what?"),
    lambda p: p.send(HEADER, b"\0\x3c\0\0"),
    lambda p: p.send(HEADER, struct.pack(">HHQH", 10, 0, 0, 0)),
    lambda p: header(p, 1, 1, b""),
    lambda p: header(p, 1, 1 << 13, struct.pack(">I", 5) + b"less"),
    lambda p: header(p, 1, 1 << 15, b"\5less"),
    lambda p: header(p, 1, 1 << 7, b""),
    lambda p: (p.say(DELIVER, short("c") + struct.pack(">Q", 1) + b"\0" + short("") + short("t")),
               p.socket.sendall(struct.pack(">BHI", HEADER, 1, 200_000) + struct.pack(">HHQ", 60, 0, 0)
                                + bytes(200_000 - 12) + b"!")),
    lambda p: p.send(HEADER, struct.pack(">HHQ", 60, 0, 5) + properties()),
    lambda p: (p.say(DELIVER, short("c") + struct.pack(">Q", 1) + b"\0" + short("") + short("t")),
               p.say(ACK, bytes(9))),
    lambda p: (deliver(p, 2), deliver(p, 2)),
    lambda p: (p.say(DELIVER, short("c") + struct.pack(">Q", 1) + b"\0" + short("") + short("t")),
               p.send(HEADER, struct.pack(">HHQ", 60, 0, 5) + properties()), p.send(BODY, b"longer")),
])
@pytest.mark.parametrize("way", [0, 1])
def test_whatever_a_broker_says_ends_at_worst_the_connection(shop, fake, says, way):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    peer = connect(d, broker, True)[way]
    published(d, broker.peers[0], 1)
    says(peer)
    assert d.serve_until_lost()
    disconnect(d, broker)
    connect(d, broker, True)


def spoiled(data, chance):
    """The bytes with a few of them changed, missing, doubled or anew."""
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        end = min(len(data), at + chance.choice((1, 1, 2, 4, 8, 60)))
        piece = data[at:end]
        data = data[:at] + chance.choice((
            b"", piece + piece, chance.randbytes(len(piece)), b"\xff" * len(piece),
            bytes(len(piece)), bytes([piece[0] ^ 1 << chance.randrange(8)]) + piece[1:])) + data[end:]
        data = data or b"\0"
    return data


def test_no_bytes_of_a_broker_do_harm(shop, fake):
    seed = int(os.environ.get("ORDERLY_TEST_SEED", "1"))
    print("ORDERLY_TEST_SEED", seed)
    chance = random.Random(seed)
    broker = fake(frame_max=4096)
    d = shop(broker, listens=["order.*"], body_max=1000)
    for _ in range(300):
        ways = connect(d, broker, True)
        published(d, ways[0], 1, 2, 3)
        sockets = [peer.socket for peer in ways]
        for peer in ways:
            peer.socket = Kept()
            peer.send(HEARTBEAT, b"", 0)
            if peer is ways[0]:
                bring_back(peer, "m-2", b"x" * 30)
                ack(peer, 1)
                peer.say(BLOCKED, short("low on memory"), 0)
                peer.say(UNBLOCKED, b"", 0)
                ack(peer, 3, multiple=True)
            for number in (1, 2, 3):
                deliver(peer, number, b"y" * 1500 if number == 2 else b"{}", message_id="id",
                        headers={"cloudEvents_id": "a", "cloudEvents_n": 3, "table": {"a": {"b": True}},
                                 "cloudEvents_time": ("T", 1), "last": ("x", "bytes")})
        for peer, socket in zip(ways, sockets):
            peer.socket, data = socket, spoiled(peer.socket.data, chance)
            peer.socket.sendall(data)
            peer.close()
        d.serve_until_lost()
        d.do("disconnect")
        d.events.clear()
        broker.peers.clear()
    connect(d, broker, True)


def test_a_login_that_is_refused_says_why(shop, fake):
    broker = fake()
    d = shop(broker)
    d.say("connect", 30000)
    broker.begin().say(CLOSE, struct.pack(">H", 403) + short("ACCESS_REFUSED - Login was refused") +
                       bytes(4), 0)
    answer = d.result()
    assert answer["code"] == "lost" and "Login was refused" in answer["why"]


@pytest.mark.parametrize("says, reason", [
    (b"AMQP\0\1\0\0", "another version"), (b"220 mail.example ESMTP\r\n", "no AMQP")])
def test_who_speaks_something_else_is_told_from_a_broker(shop, fake, says, reason):
    broker = fake()
    d = shop(broker)
    d.say("connect", 30000)
    broker.accept().socket.sendall(says)
    answer = d.result()
    assert answer["code"] == "lost" and reason in answer["why"]


def test_of_several_hosts_the_next_is_asked_where_one_is_not_there_or_lets_nobody_in(shop, fake):
    gone, deaf, well = fake(), fake(), fake()
    gone.listener.close()
    d = shop(gone, deaf, well)
    d.say("connect", 60000)
    deaf.accept().close()
    well.connection()
    answer = d.result()
    assert answer["code"] == "ok", answer
    # And that one is asked first from then on.
    disconnect(d, well)
    connect(d, well)


def test_a_connect_to_who_says_nothing_ends_in_its_time(shop, fake):
    assert shop(fake()).connect(300)["code"] == "lost"


def test_a_name_server_that_does_not_answer_is_waited_for_once_and_no_longer_than_a_connect_may_take(
        shop, fake):
    broker = fake()
    d = shop(broker, url=f"amqp://localhost:{broker.port}")
    d.do("hold_names")
    for _ in range(3):
        answer = d.connect(300)
        assert answer["code"] == "lost" and "'localhost'" in answer["why"]
    deadline = time.monotonic() + 60
    while d.do("hold_names")["waiting"] == 0:  # the thread may not have run yet
        assert time.monotonic() < deadline
    assert d.do("give_names")["waiting"] == 1
    connect(d, broker)


def test_a_name_without_an_answer_keeps_no_other_host_from_being_asked(shop, fake):
    broker = fake()
    d = shop(broker, url=f"amqp://localhost:{broker.port},127.0.0.1:{broker.port}")
    d.do("hold_names")
    d.say("connect", 2000)
    broker.accept().close()
    assert d.result()["code"] == "lost"


def test_an_adapter_ends_while_a_name_is_looked_up(shop, fake):
    broker = fake()
    d = shop(broker, url=f"amqp://localhost:{broker.port}")
    d.do("hold_names")
    assert d.connect(100)["code"] == "lost"
    d.do("destroy")
    deadline = time.monotonic() + 60
    while d.do("give_names")["waiting"]:
        assert time.monotonic() < deadline


def test_a_name_that_nobody_has_is_told(shop, fake):
    answer = shop(fake(), url="amqp://nobody.invalid").connect()
    assert answer["code"] == "lost" and "'nobody.invalid' has no address: " in answer["why"]


def test_serve_returns_when_it_is_woken_and_when_its_time_is_over(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    connect(d, broker, True)
    assert d.do("serve", 0)["code"] == "ok"
    d.do("wake")
    assert d.do("serve", 600_000)["code"] == "ok"  # or the driver says nothing for two minutes


def test_at_the_end_acks_go_out_before_the_socket_is_closed(shop, fake):
    broker = fake()
    d = shop(broker, listens=["order.*"])
    out, back = connect(d, broker, True)
    for number in (1, 2, 3):
        deliver(back, number)
    for e in d.receive(3):
        d.ack(e)
    d.say("disconnect")
    for number in (1, 2, 3):
        assert back.hear(ACK).number(8) == number
    back.hear(CLOSE)
    deliver(back, 4)  # crosses it
    back.say(CLOSE_OK, b"", 0)
    out.hear(CLOSE)
    out.say(CLOSE_OK, b"", 0)
    assert d.result()["code"] == "ok"


@pytest.mark.parametrize("config, reason", [
    ({"url": "http://h"}, "amqp://"), ({"url": "amqp://"}, "host:port"),
    ({"url": "amqp://h:0"}, "host:port"), ({"url": "amqp://h:65536"}, "host:port"),
    ({"url": "amqp://" + "h" * 254}, "host:port"), ({"url": "amqp://h,,i"}, "host:port"),
    ({"url": "amqp://h/a/b"}, "%2f"), ({"url": "amqp://h/%2"}, "vhost"), ({"url": "amqp://h/%00"}, "vhost"),
    ({"url": "amqp://h/" + "v" * 256}, "vhost"), ({"url": "amqp://" + ",".join("abcdefghi")}, "8 hosts"),
    ({"channel": ""}, "channel"), ({"channel": "c" * 256}, "channel"), ({"group": "g" * 256}, "group"),
    ({"user": "u" * 256}, "user"), ({"password": "p" * 4097}, "password"), ({"token": "t"}, "token"),
    ({"password": "p"}, "no user"),
    ({"credentials": "/c"}, "credentials"), ({"tls_ca": "/ca"}, "amqps://"),
    ({"url": "amqps://h", "tls_key": "/k"}, "certificate"),
    ({"group": "", "listens": ["order.*"]}, "group"), ({"listens": ["o" * 256]}, "pattern"),
])
def test_a_configuration_that_can_not_work_is_refused(drive, config, reason):
    answer = drive("rabbitmq", **{"url": "amqp://h", "name": "n", "channel": "c", "group": "g",
                                  **config}).create()
    assert answer["code"] == "refused" and reason in answer["why"]


@pytest.mark.parametrize("config", [
    {"url": "amqp://" + "h" * 253 + ":65535"}, {"url": "amqp://[::1]:1/"}, {"url": "amqps://[::1]"},
    {"url": "amqp://h/" + "v" * 255}, {"url": "amqp://" + ",".join("abcdefgh") + "/%76"},
    {"channel": "c" * 255, "group": "g" * 255, "user": "u" * 255, "password": "p" * 4096},
    {"url": "amqps://h", "tls_key": "/k", "tls_certificate": "/c", "tls_ca": "/a"}, {"group": ""},
])
def test_a_configuration_that_can_work_is_taken(drive, config):
    answer = drive("rabbitmq", **{"url": "amqp://h", "name": "n", "channel": "c", "group": "g",
                                  **config}).create()
    assert answer["code"] == "ok", answer
