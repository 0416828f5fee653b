"""The adapter for Kafka against librdkafka's mock brokers, and what it sends as kcat sees it.

To join a group takes the mock three seconds, so that those who receive join at once, before the first
test; each has a topic and a group of its own.
"""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest

from brokers import KafkaMock
from driver import Driver, PATIENCE_SECONDS

long_only = pytest.mark.skipif(os.environ.get("ORDERLY_BROKERS") != "full",
                               reason="takes up to a minute; ORDERLY_BROKERS=full runs it")
PRODUCE, OFFSET_COMMIT, OFFSET_FETCH, JOIN_GROUP, HEARTBEAT = 0, 8, 9, 11, 12
PARTITIONS = 4
RECEIVERS = {"plain": {}, "odd": {"body_max": 1000}, "few": {"unacked_max": 3}, "places": {},
             "prefix": {"attribute_prefix": "orderly-", "origin": "0f00"}, "room": {},
             "moved": {"unacked_max": 3}, "failing": {}, "own": {}}
# Each in a cluster of its own, whose requests it counts or spoils.
ALONE = ("moved", "failing", "own")


def config_of(cluster, topic, **config):
    return {"url": f"kafka://{cluster.address}", "address": cluster.address, "name": "orderly test",
            "channel": topic, "group": f"g-{topic}", **config}


@pytest.fixture(scope="module")
def cluster():
    mock = KafkaMock()
    yield mock
    mock.stop()


@pytest.fixture(scope="module")
def clusters(cluster):
    """Of each receiver."""
    all_of_them = {name: KafkaMock() if name in ALONE else cluster for name in RECEIVERS}
    yield all_of_them
    for name in ALONE:
        all_of_them[name].stop()


@pytest.fixture(scope="module")
def receivers(clusters, tmp_path_factory):
    """By name; all have their partitions."""
    drivers = {}
    try:
        for name, config in RECEIVERS.items():
            clusters[name].do("topic", name, PARTITIONS)
            d = drivers[name] = Driver("kafka", tmp_path_factory.mktemp(name),
                                       listens=["order.*", "stock.low"],
                                       **config_of(clusters[name], name, **config))
            assert d.create()["code"] == d.connect()["code"] == "ok"
        for tag, d in enumerate(drivers.values(), start=1_000_000):
            d.publish(tag, topic="order.joined")
        waiting = [threading.Thread(target=d.receive, args=(1,)) for d in drivers.values()]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        for tag, d in enumerate(drivers.values(), start=1_000_000):
            d.serve_until_ended(tag)
            d.ack(d.receive(1)[0])
            d.events.clear()
        yield drivers
        for d in drivers.values():
            d.close()
    finally:
        for d in drivers.values():
            if d.code is None:
                d.kill()


@pytest.fixture
def sender(cluster, drive, request):
    """sender(**config) gives a connected driver that only sends, to a topic of the test's own."""
    topic = re.sub(r"[^a-z0-9]+", "-", request.node.name)[:200]

    def make(**config):
        cluster.do("topic", topic, PARTITIONS)
        d = drive("kafka", **config_of(cluster, topic, **config))
        d.topic = topic
        assert d.create()["code"] == "ok"
        answer = d.connect()
        assert answer["code"] == "ok", answer
        return d
    return make


def kcat(cluster, *words, body=None):
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed")
    return subprocess.run(["kcat", "-b", cluster.address, *words], input=body, check=True,
                          capture_output=True, timeout=120).stdout


def murmur2(data):
    """The hash by which Kafka's own clients choose a partition."""
    h = (0x9747b28c ^ len(data)) & 0xffffffff
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * 0x5bd1e995 & 0xffffffff
        k = (k ^ k >> 24) * 0x5bd1e995 & 0xffffffff
        h = (h * 0x5bd1e995 & 0xffffffff) ^ k
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * 0x5bd1e995 & 0xffffffff
    h = (h ^ h >> 13) * 0x5bd1e995 & 0xffffffff
    return (h ^ h >> 15) & 0x7fffffff


def test_kcat_reads_keys_headers_and_bodies_where_other_clients_put_them(cluster, sender):
    d = sender()
    keys = ["order-1", "o2", "Größe", "a-much-longer-order-id-0123456789"]
    for tag, key in enumerate(keys, start=1):
        d.publish(tag, key=key, body=b"\x00body\n%d" % tag, correlation=f"c-{tag}",
                  attributes={"id": f"m-{tag}", "subject": "50 % ü"} if tag == 1 else None)
    assert {e["event"] for e in d.serve_until_ended(1, 2, 3, 4).values()} == {"acked"}
    lines = kcat(cluster, "-C", "-t", d.topic, "-e", "-q", "-J").decode().splitlines()
    seen = {m["key"]: m for m in map(json.loads, lines)}
    assert set(seen) == set(keys)
    for tag, key in enumerate(keys, start=1):
        m = seen[key]
        assert m["partition"] == murmur2(key.encode()) % PARTITIONS
        assert m["payload"] == f"\x00body\n{tag}"
        headers = dict(zip(m["headers"][::2], m["headers"][1::2]))
        assert headers.pop("ce_subject", "50 % ü") == "50 % ü"
        assert headers.pop("ce_id", f"m-{tag}") == f"m-{tag}"
        assert headers == {"topic": "order.placed", "message-id": f"m-{tag}",
                           "correlation-id": f"c-{tag}", "content-type": "application/json"}
    assert "ce_subject" in seen[keys[0]]["headers"]


def test_many_messages_are_acked_and_none_is_lost_or_twice(cluster, sender):
    d = sender(window=500)
    assert d.do("flood", 1, 5000, "order.placed", 100, 120000)["acked"] == 5000
    ids = kcat(cluster, "-C", "-t", d.topic, "-e", "-q", "-f", "%h\n").decode().splitlines()
    found = [line.split("message-id=")[1].split(",")[0] for line in ids]
    assert sorted(found) == sorted(f"flood-{i}" for i in range(1, 5001))


@pytest.mark.parametrize("code, event", [
    (87, "refused"),  # INVALID_RECORD
    (44, "again"),    # POLICY_VIOLATION
])
def test_an_error_of_one_message_ends_that_message(cluster, sender, code, event):
    d = sender()
    cluster.do("error", PRODUCE, code, 1)
    d.publish(1)
    assert d.serve_until_ended(1)[1]["event"] == event
    d.publish(2)
    assert d.serve_until_ended(2)[2]["event"] == "acked"


@pytest.mark.parametrize("code", [19, 7, 6, -195])  # replicas, time, leader, the connection
def test_an_error_that_passes_is_not_told(cluster, sender, code):
    d = sender()
    d.publish(1)
    d.serve_until_ended(1)
    cluster.do("error", PRODUCE, code, 2)
    d.publish(2)
    d.publish(3, key="another")

    def is_over():
        return {e["tag"] for e in d.of("acked")} >= {2, 3}
    while d.serve_until(is_over)["code"] == "lost":  # where the only broker was gone
        assert code == -195
        d.do("disconnect")
        assert d.connect()["code"] == "ok"
        for tag in {2, 3} - {e["tag"] for e in d.of("acked")}:
            d.publish(tag, key=f"k-{tag}")
    assert not d.of("again", "refused")


@pytest.mark.parametrize("code, reason", [(29, "Topic authorization failed"),
                                          (31, "Cluster authorization failed")])
def test_what_the_topic_forbids_to_all_costs_no_message(cluster, sender, code, reason):
    d = sender()
    cluster.do("error", PRODUCE, code, 1)
    d.publish(1)
    d.publish(2, key="another")
    assert reason in d.serve_until_lost()
    d.do("disconnect")
    assert d.connect()["code"] == "ok"
    d.publish(1)
    d.publish(2)
    assert {e["event"] for e in d.serve_until_ended(1, 2).values()} == {"acked"}


@pytest.mark.parametrize("code", [45, 47, 59])  # sequence, epoch, id
def test_a_producer_that_the_broker_does_not_know_is_followed_by_another(cluster, sender, code):
    d = sender()
    d.publish(1)
    d.serve_until_ended(1)
    cluster.do("error", PRODUCE, code, 1)
    d.publish(2)
    answer = d.serve_until(lambda: d.of("acked")[-1]["tag"] == 2)
    if answer["code"] == "lost":
        d.do("disconnect")
        assert d.connect()["code"] == "ok"
        d.publish(2)
    assert d.serve_until_ended(2)[2]["event"] == "acked"
    assert not d.of("again", "refused")


def test_too_large_for_the_broker_is_refused_when_it_is_alone_in_its_batch(cluster, sender):
    d = sender()
    cluster.do("error", PRODUCE, 10, 1)  # MSG_SIZE_TOO_LARGE
    d.do("fill", 1, "order.placed", "k", "m-1", "c", 70_000)
    ended = d.serve_until_ended(1)[1]
    assert ended["event"] == "refused" and "too large" in ended["why"]
    cluster.do("error", PRODUCE, 10, 1)
    d.publish(2)
    assert "each message goes alone" in d.serve_until_lost()
    d.do("disconnect")
    assert d.connect()["code"] == "ok"
    cluster.do("error", PRODUCE, 10, 1)
    d.publish(2)
    assert d.serve_until_ended(2)[2]["event"] == "refused"
    d.publish(3)
    assert d.serve_until_ended(3)[3]["event"] == "acked"


def test_a_message_larger_than_any_may_be_is_refused_at_once(sender):
    d = sender()
    assert d.do("fill", 1, "order.placed", "k", "m-1", "c", (16 << 20) - 10_000)["code"] == "ok"
    answer = d.do("fill", 2, "order.placed", "k", "m-2", "c", (16 << 20) + 1)
    assert answer["code"] == "refused" and "too large" in answer["why"]


def test_brokers_that_go_away_are_told_and_come_back(cluster, sender):
    d = sender()
    cluster.do("down")
    assert d.serve_until_lost()
    d.do("disconnect")
    answer = d.connect()
    assert answer["code"] == "lost" and "refused" in answer["why"]
    cluster.do("up")
    assert d.connect()["code"] == "ok"
    d.publish(1)
    assert d.serve_until_ended(1)[1]["event"] == "acked"


def test_a_broker_that_says_nothing_is_given_up_in_time(drive):
    other = KafkaMock()
    d = drive("kafka", **config_of(other, "silent"))
    d.create()
    other.process.send_signal(signal.SIGSTOP)
    # Its threads go on until one of them was there to hear it.
    _, status = os.waitpid(other.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    try:
        answer = d.connect(700)
    finally:
        other.process.send_signal(signal.SIGCONT)
    assert answer["code"] == "lost"
    assert d.connect()["code"] == "ok"
    d.do("disconnect")
    other.stop()


@pytest.mark.parametrize("code, declares, reason", [
    (3, 0, "there is no topic"), pytest.param(3, 1, "can't be made", marks=long_only), (29, 1, "Topic authorization failed"),
    (17, 1, "Invalid topic")])
def test_a_topic_that_can_not_be_used_fails_the_connect_with_its_reason(cluster, drive, request, code,
                                                                        declares, reason):
    topic = f"topic-{code}-{declares}"
    cluster.do("topic", topic, 1)
    cluster.do("topic_error", topic, code)
    d = drive("kafka", **config_of(cluster, topic, declares=declares))
    d.create()
    answer = d.connect()
    assert answer["code"] == "lost" and reason in answer["why"], answer
    cluster.do("topic_error", topic, 0)
    assert d.connect()["code"] == "ok"


def test_serve_returns_when_it_is_woken(sender):
    d = sender()
    d.do("wake")
    assert d.do("serve", 600_000)["code"] == "ok"  # or the driver says nothing for two minutes


# ---- receiving

@pytest.mark.usefixtures("moving")
def test_what_is_wanted_is_received_in_order_and_nothing_else(receivers):
    d = receivers["plain"]
    topics = ["order.placed", "payment.made", "stock.low", "stock.lower", "orders.all"]
    for tag in range(1, 41):
        d.publish(tag, topic=topics[tag % 5], key="one-order", body=b"%d" % tag,
                  attributes={"id": f"m-{tag}"})
    received = d.receive(16)
    assert [int(e["body"]) for e in received] == [n for n in range(1, 41) if n % 5 in (0, 2)]
    assert received[0]["topic"] == "stock.low" and received[0]["id"] == "m-2"
    assert received[0]["attributes"] == {"id": "m-2"}
    assert received[0]["type"] == "application/json"
    for e in received:
        assert d.ack(e)["code"] == "ok"
    d.serve_until_ended(*range(1, 41))


def test_what_others_send_comes_as_they_meant_it(cluster, receivers):
    d = receivers["odd"]

    def put(body, *words):
        kcat(cluster, "-P", "-t", "odd", "-p", "0", "-c", "1", *words, body=body)
    put(b"bare")
    put(b"y" * 1000, "-H", "topic=stock.low", "-H", "content-type=text/plain", "-H", "ce_=no name",
        "-H", "ce_subject=50 % ü", "-H", "ce_empty=", "-H", "other=x",
        "-H", "ce_null")
    put(b"z" * 5000, "-H", "topic=stock.low")
    put(b"many", *[w for i in range(40) for w in ("-H", f"ce_a{i:02}=v{i}")])
    put(b"x", "-H", "topic=stock.high")
    put(b"last", "-H", "topic=order.late", "-H", "message-id=i-7")
    bare, full, large, many, last = d.receive(5)
    assert (bare["topic"], bare["id"], bare["type"], bare["attributes"]) == ("", "", "", {})
    assert bare["body"] == b"bare"
    assert (full["topic"], full["type"], full["length"]) == ("stock.low", "text/plain", 1000)
    assert full["attributes"] == {"subject": "50 % ü", "empty": ""} and not full["is_too_large"]
    assert large["is_too_large"] and large["body"] == b"z" * 1000
    assert many["attributes"] == {f"a{i:02}": f"v{i}" for i in range(24)} and many["is_too_large"]
    assert (last["topic"], last["id"]) == ("order.late", "i-7")


def test_the_prefix_of_attributes_can_be_another(cluster, receivers):
    d = receivers["prefix"]
    d.publish(1, attributes={"source": "s"})
    kcat(cluster, "-P", "-t", "prefix", "-c", "1", "-H", "orderly-origin=0f01", body=b"other")
    kcat(cluster, "-P", "-t", "prefix", "-c", "1", "-H", "orderly-id=m", body=b"none")
    got = {m["body"]: m for m in d.receive(3)}
    own, other, none = got[b"{}"], got[b"other"], got[b"none"]
    assert own["attributes"] == {"source": "s"}
    # Beside the attributes, whatever their prefix.
    assert (own["origin"], other["origin"], none["origin"]) == ("0f00", "0f01", "")
    assert other["attributes"] == {} and none["attributes"] == {"id": "m"}
    headers = kcat(cluster, "-C", "-t", "prefix", "-e", "-q", "-f", "%h\n")
    assert b"orderly-source=s" in headers and b"orderly-origin=0f00" in headers


def test_no_more_come_than_may_wait_for_their_ack(receivers):
    d = receivers["few"]
    for tag in range(1, 9):
        d.publish(tag, key=f"k-{tag % 3}", body=b"%d" % tag)
    d.receive(3)
    d.serve_until_ended(*range(1, 9))
    for wait_ms in (1200, 1200, 300):  # beyond the time after which partitions pause
        d.do("serve", wait_ms)
    assert len(d.of("received")) == 3
    for i in range(8):
        d.ack(d.receive(i + 1)[i])
    assert sorted(int(e["body"]) for e in d.of("received")) == list(range(1, 9))
    for k in range(3):
        own = [int(e["body"]) for e in d.of("received") if int(e["body"]) % 3 == k]
        assert own == sorted(own)


def places(cluster, topic):
    """How far the group is in the partition of the key k."""
    return cluster.do("committed", f"g-{topic}", topic)[murmur2(b"k") % PARTITIONS]


def test_no_more_come_than_there_is_room_for(receivers):
    d = receivers["room"]
    d.do("room", 200)
    for tag in range(1, 5):
        d.publish(tag, key="k", body=b"%d" % tag * 100)
    assert [e["body"][:1] for e in d.receive(2)] == [b"1", b"2"]
    d.serve_until_ended(1, 2, 3, 4)  # what else there is goes on
    for _ in range(5):
        d.do("serve", 50)
    assert len(d.of("received")) == 2
    d.do("room", 101)  # a byte more than the next one needs
    received = d.receive(4)
    assert [e["body"][:1] for e in received][2:] == [b"3", b"4"]
    for e in received:
        assert d.ack(e)["code"] == "ok"


def test_the_group_is_told_of_what_was_acked_and_all_before_it(cluster, receivers):
    d = receivers["places"]
    began = places(cluster, "places")
    assert began in "-01"  # what the fixture sent may have been of this partition
    began = int(began.replace("-", "0"))
    cluster.do("error", OFFSET_COMMIT, 14, 1)  # the first commit fails: the group is loading
    for tag in range(1, 7):
        d.publish(tag, topic="payment.made" if tag in (2, 6) else "order.placed", key="k",
                  body=b"%d" % tag)
    d.serve_until_ended(*range(1, 7))
    received = {int(e["body"]): e for e in d.receive(4)}
    assert list(received) == [1, 3, 4, 5]

    def is_at(n):
        return lambda: places(cluster, "places") == str(began + n)
    d.ack(received[1])  # and the second is nobody's; a commit that failed goes with the next
    d.ack(received[4])
    d.do("serve", 0)
    d.ack(received[5])
    for handle in (received[1]["handle"], received[4]["handle"], 0, 1 << 60, 1 << 19):
        assert d.do("ack", handle)["code"] == "ok"
    assert d.serve_until(is_at(2))["code"] == "ok"
    d.ack(received[3])
    assert d.serve_until(is_at(6))["code"] == "ok"


def left(cluster, api):
    """Of what was pushed to be said to requests of this kind; 0, no error, only counts them."""
    return int(cluster.do("errors_left", 1, api)[0])


@pytest.fixture(scope="module")
def moving(clusters, receivers):
    """The group of `moved`, who holds three of seven messages, has all partitions taken away and gets
    them again, which takes ten seconds; meanwhile other tests run. In between two of the three are
    acked. The future of the third."""
    d, cluster = receivers["moved"], clusters["moved"]
    for tag in range(1, 8):
        d.publish(tag, key="k", body=b"%d" % tag)
    first = d.receive(3)
    d.serve_until_ended(*range(1, 8))

    def move():
        for wait_ms in (1200, 1200):  # until partitions pause
            d.do("serve", wait_ms)
        cluster.do("broker_error", 1, JOIN_GROUP, 0, 1)
        cluster.do("broker_error", 1, OFFSET_FETCH, 0, 1)
        cluster.do("broker_error", 1, HEARTBEAT, 22, 1)
        assert d.serve_until(lambda: left(cluster, JOIN_GROUP) == 0)["code"] == "ok"
        d.ack(first[0])
        d.ack(first[1])
        assert d.serve_until(lambda: left(cluster, OFFSET_FETCH) == 0)["code"] == "ok"
        return first[2]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(move)


def test_a_commit_that_fails_is_tried_again_in_time_and_not_all_the_time(clusters, receivers):
    d, cluster = receivers["failing"], clusters["failing"]
    d.publish(1, key="k")
    m = d.receive(1)[0]
    cluster.do("broker_error", 1, OFFSET_COMMIT, 12, 1000)  # the metadata are too large: final
    d.ack(m)
    assert d.serve_until(lambda: left(cluster, OFFSET_COMMIT) <= 996, wait_ms=100)["code"] == "ok"
    for _ in range(5):
        d.do("serve", 100)
    # As many are five minutes' at most.
    assert left(cluster, OFFSET_COMMIT) > 920


def test_a_topic_of_own_messages_only_is_passed_over_with_few_commits(clusters, receivers):
    d, cluster = receivers["own"], clusters["own"]
    cluster.do("broker_error", 1, OFFSET_COMMIT, 0, 1000)
    answer = d.do("flood", 1, 3000, "payment.made", 100, 120000)
    assert answer["acked"] == 3000 and answer["received"] == 0

    def is_over():
        places = cluster.do("committed", "g-own", "own")
        return sum(int(p) for p in places if p != "-") == 3001  # one is the fixture's
    assert d.serve_until(is_over)["code"] == "ok"
    assert left(cluster, OFFSET_COMMIT) > 500


def test_a_leader_that_is_another_costs_nothing(drive):
    cluster = KafkaMock(2)
    cluster.do("topic", "led", 1)
    cluster.do("leader", "led", 0, 1)
    d = drive("kafka", **config_of(cluster, "led"))
    d.create()
    assert d.connect()["code"] == "ok"
    d.publish(1)
    d.serve_until_ended(1)
    cluster.do("leader", "led", 0, 2)
    for tag in range(2, 6):
        d.publish(tag)
    assert {e["event"] for e in d.serve_until_ended(*range(1, 6)).values()} == {"acked"}
    d.do("disconnect")
    cluster.stop()


def test_a_name_server_that_says_nothing_holds_nothing_up(drive):
    d = drive("kafka", url="kafka://hangs.test:1", address="hangs.test:1", name="n", channel="c",
              group="g")
    d.create()
    why = ""
    for _ in range(18):
        why = d.connect(10)["why"]
        if "earlier connections" in why:
            break
        assert "no answer in time" in why
    assert "earlier connections" in why


@long_only
def test_what_was_not_acked_comes_again_after_a_new_connection(cluster, drive):
    cluster.do("topic", "again", PARTITIONS)
    d = drive("kafka", listens=["order.*"], **config_of(cluster, "again"))
    d.create()
    d.connect()
    for tag in range(1, 7):
        d.publish(tag, key="k", body=b"%d" % tag)
    received = d.receive(6)
    for i in (0, 1, 3):
        d.ack(received[i])
    d.do("disconnect")  # commits it, without a serve
    d.events.clear()
    assert d.connect()["code"] == "ok"
    again = d.receive(4)
    assert [int(e["body"]) for e in again] == [3, 4, 5, 6]
    assert not {e["handle"] for e in again} & {e["handle"] for e in received}
    d.do("stop_receiving")
    d.publish(7, key="k")
    for e in again:
        d.ack(e)
    d.serve_until_ended(7)
    d.do("disconnect")
    assert places(cluster, "again") == "6"


@long_only
def test_two_of_a_group_share_the_partitions_and_one_takes_over_from_the_other(drive):
    cluster = KafkaMock()
    cluster.do("topic", "crowd", PARTITIONS)
    first, second = (drive("kafka", listens=["order.*"], **config_of(cluster, "crowd"))
                     for _ in range(2))
    first.create()
    second.create()
    first.connect()
    for tag in range(1, 41):
        first.publish(tag, key=f"k-{tag}", body=b"%d" % tag)
    held = first.receive(40)  # not acked: whoever has their partition gets them again
    assert second.connect()["code"] == "ok"

    def both():
        assert first.do("serve", 50)["code"] == "ok"
        return bool(second.of("received"))
    assert second.serve_until(both, wait_ms=50)["code"] == "ok"
    theirs = {int(e["body"]) for e in second.of("received")}
    assert theirs and theirs < set(range(1, 41))
    # Of these the first one's handles mean nothing any more, of the others all.
    for e in held:
        assert first.ack(e)["code"] == "ok"
    assert first.do("serve", 100)["code"] == "ok"
    first.do("disconnect")
    # What the first had acked is done; all else is the second's.
    for tag in range(41, 61):
        second.publish(tag, key=f"k-{tag}", body=b"%d" % tag)
    acked = set()

    def has_all():
        for e in second.of("received"):
            if e["handle"] not in acked:
                acked.add(e["handle"])
                second.ack(e)
        return {int(e["body"]) for e in second.of("received")} >= theirs | set(range(41, 61))
    assert second.serve_until(has_all)["code"] == "ok"
    second.do("disconnect")
    cluster.stop()


@pytest.mark.parametrize("config, reason", [
    ({"url": "http://h"}, "kafka://"), ({"url": "kafka://"}, "no host"), ({"url": "kafka:///"}, "no host"),
    ({"url": "kafka://h/topic"}, "path"), ({"channel": ""}, "channel"), ({"channel": "c" * 250}, "channel"),
    ({"url": "kafka://" + "h" * 2049}, "2048"),
    ({"group": "", "listens": ["order.*"]}, "group"), ({"token": "t"}, "token"),
    ({"credentials": "/c"}, "credentials"), ({"tls_ca": "/ca"}, "kafka+tls://"),
    ({"url": "kafka+tls://h", "tls_key": "/k"}, "certificate"), ({"user": "u"}, "password"),
])
def test_a_configuration_that_can_not_work_is_refused(drive, config, reason):
    answer = drive("kafka", **{"url": "kafka://h", "name": "n", "channel": "c", "group": "g",
                               **config}).create()
    assert answer["code"] == "refused" and reason in answer["why"]


@pytest.mark.parametrize("config", [
    {"url": "kafka://a:1,b:2,[::1]:3/"}, {"url": "kafka://" + "h" * 2048 + "/"},
    {"channel": "c" * 249}, {"user": "u", "password": "p"},
    {"url": "kafka+tls://h", "user": "u", "password": "p", "listens": ["*"]}, {"group": ""},
    {"window": 1, "unacked_max": 65535, "listens": ["order.*"]},
])
def test_a_configuration_that_can_work_is_taken(drive, config):
    answer = drive("kafka", **{"url": "kafka://h", "name": "n", "channel": "c", "group": "g",
                               **config}).create()
    assert answer["code"] == "ok", answer


def test_partitions_that_move_bring_no_more_than_may_wait_for_their_ack(receivers, moving):
    d = receivers["moved"]
    third = moving.result(PATIENCE_SECONDS)
    # The same messages are there once more, and the driver itself refuses a fourth that waits.
    assert [e["body"] for e in d.receive(5)[3:]] == [b"1", b"2"]
    d.ack(third)
    for n in range(3, 10):
        d.ack(d.receive(n + 1)[n])
    assert [int(e["body"]) for e in d.receive(10)] == [1, 2, 3, 1, 2, 3, 4, 5, 6, 7]
