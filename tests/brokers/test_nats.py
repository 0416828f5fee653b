"""The adapter to NATS JetStream, alone with a real nats-server: what it promises by broker.h."""
import os
import signal
import socket
import threading
import time

import pytest

import nats
import nats_keys

BODY_BYTES = 600


@pytest.fixture
def serve(tmp_path):
    """serve(…) starts a nats-server; all are ended with the test."""
    servers = []

    def start(*args, name="nats", **kwargs):
        servers.append(nats.Server(tmp_path / name, *args, **kwargs))
        return servers[-1]
    yield start
    for server in servers:
        server.end()


@pytest.fixture
def adapter(drive):
    """adapter(port, …) gives a driver of the adapter, created and not connected."""
    def make(port, scheme="nats", created="ok", **config):
        d = drive("nats", **{"channel": "orders", "group": "g", "name": "test",
                             "address": f"127.0.0.1:{port}",
                             "url": f"{scheme}://127.0.0.1:{port}", **config})
        answer = d.create()
        assert answer["code"] == created, answer
        d.answer = answer
        return d
    return make


@pytest.fixture
def connected(adapter):
    """The same, connected."""
    def make(port, *args, **kwargs):
        d = adapter(port, *args, **kwargs)
        assert d.connect() == {"result": "connect", "code": "ok"}
        return d
    return make


def acked(driver, *tags):
    """Serves until all have ended, which must be by an ack."""
    ends = driver.serve_until_ended(*tags)
    assert {e["event"] for e in ends.values()} == {"acked"}, ends


def connect_again(driver):
    """After a loss."""
    driver.do("disconnect")
    deadline = time.monotonic() + 60
    while driver.connect()["code"] != "ok":
        assert time.monotonic() < deadline


# ---- out

def test_a_message_is_in_the_stream_with_its_subject_headers_and_bytes(serve, connected):
    server = serve()
    d = connected(server.port)
    body = bytes(range(256))
    assert d.publish(7, topic="order.placed", id="m-7", correlation="o-1", body=body,
                     type="application/octet-stream",
                     attributes={"subject": "Euro € 😀", "source": "/a b%"})["code"] == "ok"
    acked(d, 7)
    with nats.Client(server.port) as c:
        (subject, headers, data), = c.all()
        config = c.api("STREAM.INFO.ORDERS")["config"]
    assert subject == "orders.order.placed" and data == body
    assert headers == {"Nats-Msg-Id": "m-7", "correlation-id": "o-1",
                       "content-type": "application/octet-stream",
                       "ce-datacontenttype": "application/octet-stream",
                       "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-source": "/a%20b%25"}
    assert config["subjects"] == ["orders.>"] and config["storage"] == "file"


def test_the_configured_prefix_stands_before_the_names_of_attributes(serve, connected):
    server = serve()
    d = connected(server.port, attribute_prefix="x-ce-", listens=["order.*"])
    d.publish(1, attributes={"subject": "o-1"})
    acked(d, 1)
    delivery, = d.receive(1)
    assert delivery["attributes"] == {"subject": "o-1", "datacontenttype": "application/json"}
    assert delivery["id"] == "m-1"
    with nats.Client(server.port) as c:
        assert c.get(1)[1]["x-ce-subject"] == "o-1"


def test_the_origin_goes_beside_the_attributes_whatever_their_prefix(serve, connected):
    server = serve()
    d = connected(server.port, attribute_prefix="orderly-", origin="0f00", listens=["order.*"])
    d.publish(1, attributes={"subject": "o-1"})
    acked(d, 1)
    with nats.Client(server.port) as c:
        assert c.get(1)[1]["orderly-origin"] == "0f00"
        c.put("orders.order.placed", b"", {"Orderly-Origin": "0f01"})
        c.put("orders.order.placed", b"", {"orderly-id": "m"})
    own, other, none = d.receive(3)
    assert own["attributes"] == {"subject": "o-1", "datacontenttype": "application/json"}
    assert (own["origin"], other["origin"], none["origin"]) == ("0f00", "0f01", "")
    assert other["attributes"] == {} and none["attributes"] == {"id": "m"}


def test_many_messages_are_acknowledged_each_by_its_tag_and_lie_in_order(serve, connected):
    server = serve()
    d = connected(server.port, window=64)
    answer = d.do("flood", 1, 2000, "order.placed", BODY_BYTES, 100000)
    assert answer["code"] == "ok" and answer["acked"] == 2000
    with nats.Client(server.port) as c:
        assert c.count() == 2000
        for n in (1, 2, 999, 2000):
            assert c.get(n)[1]["Nats-Msg-Id"] == f"flood-{n}"


def test_the_same_id_published_again_is_there_once_and_acknowledged_twice(serve, connected):
    server = serve()
    d = connected(server.port)
    d.publish(1, id="same")
    d.publish(2, id="same")
    acked(d, 1, 2)
    with nats.Client(server.port) as c:
        assert c.count() == 1


def test_what_a_stopped_server_does_not_take_stays_within_bounds(serve, connected):
    server = serve()
    d = connected(server.port, window=65536)
    server.send(signal.SIGSTOP)
    # As much as the kernel and the client take, and no more.
    codes = []
    while len(codes) < 2000 and "busy" not in codes:
        codes.append(d.do("fill", len(codes), "order.placed", "k", f"m-{len(codes)}", "o",
                          100000)["code"])
    assert codes[-1] == "busy" and 10 < len(codes) < 400, len(codes)
    server.send(signal.SIGCONT)
    acked(d, *range(len(codes) - 1))
    # Room again.
    assert d.publish(5000)["code"] == "ok"
    acked(d, 5000)


def test_a_stopped_server_is_not_waited_for_by_tls_either(serve, connected, tmp_path):
    nats.need_server()
    paths = nats.certificates(tmp_path / "ca")
    server = serve(config=tls_config(paths))
    d = connected(server.port, "tls", window=65536, tls_ca=str(paths["ca"]),
                  tls_certificate=str(paths["client"]), tls_key=str(paths["client_key"]))
    server.send(signal.SIGSTOP)
    codes = []
    while len(codes) < 4000 and codes[-1:] in ([], ["ok"]):
        codes.append(d.do("fill", len(codes), "order.placed", "k", f"m-{len(codes)}", "o",
                          20000)["code"])
    assert codes[-1] == "busy" and len(codes) > 4, codes[-1]  # and not lost for a write that hangs
    assert d.do("serve", 100)["code"] == "ok"
    server.send(signal.SIGCONT)
    acked(d, *range(len(codes) - 1))


def test_a_body_beyond_the_servers_limit_is_refused_and_the_rest_goes_on(serve, connected):
    server = serve(config="max_payload: 20000\n")
    d = connected(server.port)
    answer = d.do("fill", 1, "order.placed", "k", "m-1", "o", 20001)
    assert answer["code"] == "refused" and "20000" in answer["why"]
    d.do("fill", 2, "order.placed", "k", "m-2", "o", 19000)
    acked(d, 2)


def test_a_body_beyond_the_streams_limit_is_refused_by_its_tag(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream(max_msg_size=1000)
    d = connected(server.port)
    d.do("fill", 1, "order.placed", "k", "m-1", "o", 2000)
    d.publish(2)
    ends = d.serve_until_ended(1, 2)
    assert ends[1]["event"] == "refused" and "size" in ends[1]["why"]
    assert ends[2]["event"] == "acked"


@pytest.mark.parametrize("topic", ["order placed", "order.*", "order.>", ".order", "order..placed",
                                   "order.", "", "order\r\nPUB x 0"])
def test_a_topic_that_no_subject_can_have_is_refused(topic, serve_once, connected):
    d = connected(serve_once.port)
    assert d.publish(1, topic=topic)["code"] == "refused"
    assert d.publish(2, type="text/plain\r\nx: y")["code"] == "refused"


def test_a_full_stream_has_it_sent_again_until_there_is_room(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream(max_msgs=2, discard="new")
        d = connected(server.port)
        for tag in (1, 2, 3):
            d.publish(tag)
        ends = d.serve_until_ended(1, 2, 3)
        assert [ends[t]["event"] for t in (1, 2, 3)] == ["acked", "acked", "again"]
        assert "maximum messages exceeded" in ends[3]["why"]
        c.api("STREAM.PURGE.ORDERS")
    d.events.clear()
    d.publish(3)
    acked(d, 3)


def test_a_stream_with_other_subjects_is_not_changed_and_each_message_says_so(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream(subjects=["orders.order.>"])
        d = connected(server.port)
        d.publish(1, topic="order.placed")
        d.publish(2, topic="payment.approved")
        ends = d.serve_until_ended(1, 2)
        assert ends[1]["event"] == "acked"
        assert ends[2]["event"] == "again" and "no stream takes its subject" in ends[2]["why"]
        # It was asked for, and is there: the connection stays.
        d.publish(3)
        acked(d, 3)
        assert c.api("STREAM.INFO.ORDERS")["config"]["subjects"] == ["orders.order.>"]


def test_a_stream_that_was_deleted_is_made_again_by_the_next_connection(serve, connected):
    server = serve()
    d = connected(server.port)
    with nats.Client(server.port) as c:
        c.api("STREAM.DELETE.ORDERS")
    d.publish(1)
    assert d.serve_until_lost() == "stream ORDERS is gone"
    connect_again(d)
    d.events.clear()
    d.publish(1)
    acked(d, 1)


# ---- connections

def test_a_server_that_is_killed_and_comes_back_gets_what_it_did_not_acknowledge(
        serve, connected, proxy):
    server = serve()
    door = proxy(server.port)
    d = connected(door.port)
    d.publish(1)
    acked(d, 1)
    door.aim(None)
    server.end()
    assert d.serve_until_lost()
    d.do("disconnect")
    assert d.connect(5000)["code"] == "lost"
    server.start()
    door.aim(server.port)
    assert d.connect()["code"] == "ok"
    d.publish(2)
    acked(d, 2)
    with nats.Client(server.port) as c:
        assert c.count() == 2


def test_an_acknowledgement_that_is_lost_is_had_for_the_same_id_again(serve, connected, proxy):
    server = serve()
    door = proxy(server.port)
    d = connected(door.port)
    with nats.Client(server.port) as c:
        door.mute()
        d.publish(1)
        d.serve_until(lambda: c.count() == 1)
        assert not d.of("acked")
        door.cut()
        assert d.serve_until_lost()
        door.mute(False)
        connect_again(d)
        d.publish(1)
        acked(d, 1)
        assert c.count() == 1


def test_a_server_that_is_stopped_is_lost_by_its_silence(serve, connected):
    server = serve()
    d = connected(server.port)
    server.send(signal.SIGSTOP)
    d.publish(1)
    assert "silent" in d.serve_until_lost()
    d.do("disconnect")
    answer = d.connect(1000)
    assert answer["code"] == "lost", answer
    server.send(signal.SIGCONT)
    deadline = time.monotonic() + 60
    while d.connect()["code"] != "ok":
        assert time.monotonic() < deadline
    d.publish(1)
    acked(d, 1)
    with nats.Client(server.port) as c:
        assert c.count() == 1


def test_serve_ends_its_wait_when_it_is_woken_and_at_once_where_it_is_not_to_wait(
        serve_once, connected):
    d = connected(serve_once.port)
    d.do("wake")
    # Nothing comes on this connection but the signs of life; an hour would be noticed.
    assert d.do("serve", 3600 * 1000)["code"] == "ok"
    d.do("calm")
    assert d.do("serve", 0)["code"] == "ok"


def test_a_server_without_jetstream_says_so(serve, adapter):
    server = serve(jetstream=False)
    d = adapter(server.port)
    answer = d.connect()
    assert answer["code"] == "lost" and "no JetStream" in answer["why"]


def test_each_way_of_not_being_there_has_words_of_its_own(adapter, proxy, refusing):
    d = adapter(proxy(None).port)
    assert d.connect()["why"] == d.connect()["why"] == "it closes the connection"
    assert adapter(refusing).connect()["why"] == "Connection refused"
    why = adapter(1, address="nowhere.invalid:1").connect()["why"]
    assert why.startswith("its name can't be resolved: ")
    assert adapter(1, address="hangs.test:1").connect(100)["why"] == "no answer within 100 ms"
    address = f"nowhere.invalid,127.0.0.1:{refusing},[::1]:1"
    parts = adapter(1, address=address).connect()["why"].split("; ")
    assert parts[0].startswith("nowhere.invalid: its name can't be resolved: ")
    assert parts[1] == f"127.0.0.1:{refusing}: Connection refused"
    assert parts[2].startswith("[::1]:1: ")  # where there is no IPv6 it is another reason


def test_of_several_servers_the_first_that_is_there_is_taken(serve_once, adapter):
    d = adapter(1, address=f"nowhere.invalid:1,127.0.0.1:{serve_once.port}")
    assert d.connect()["code"] == "ok"


def test_a_port_that_says_nothing_is_given_up_in_time(adapter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        d = adapter(listener.getsockname()[1])
        answer = d.connect(1000)
        assert answer["code"] == "lost", answer


def test_a_handshake_that_does_not_end_is_given_up_in_time(adapter):
    def talk(listener):
        peers = []
        while True:
            try:
                peers.append(listener.accept()[0])
            except OSError:
                break
            try:
                peers[-1].sendall(b'INFO {"server_id":"x","version":"2.9.10","tls_required":true,'
                                  b'"headers":true,"max_payload":1048576}\r\n')
            except OSError:
                pass  # it has given up before it was accepted
        for peer in peers:
            peer.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, args=(listener,))
        thread.start()
        d = adapter(listener.getsockname()[1], "tls")
        deadline = time.monotonic() + 100
        why = ""
        while "earlier attempts" not in why:
            answer = d.connect(100)
            assert answer["code"] == "lost" and time.monotonic() < deadline, answer
            why = answer["why"]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    # They have ended, so there is room for others.
    deadline = time.monotonic() + 60
    while "earlier attempts" in d.connect(5000)["why"]:
        assert time.monotonic() < deadline


@pytest.mark.skipif(not os.environ.get("ORDERLY_BROKERS"), reason="ORDERLY_BROKERS=full has these")
def test_a_consumer_that_was_deleted_before_it_was_asked_is_missed_in_the_end(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*"])
    with nats.Client(server.port) as c:
        c.api("CONSUMER.DELETE.ORDERS.g_payment")
    assert d.serve_until_lost() == "consumer g_payment is gone"


def test_what_is_not_to_be_declared_and_is_missing_is_named(serve, adapter):
    server = serve()
    d = adapter(server.port, declares=0, listens=["payment.*"])
    answer = d.connect()
    assert answer["why"] == "stream ORDERS: there is none, and none is to be declared"
    with nats.Client(server.port) as c:
        c.stream()
        answer = d.connect()
        assert answer["code"] == "lost" and "consumer g_payment" in answer["why"]
        c.consumer("g_payment", "orders.payment.>")
    assert d.connect()["code"] == "ok"


def test_streams_and_consumers_that_can_not_work_are_named(serve, adapter):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream("OTHER")
        d = adapter(server.port, listens=["payment.*"])
        assert "can't make the stream ORDERS" in d.connect()["why"]
        c.api("STREAM.DELETE.OTHER")
        c.stream(no_ack=True)
        assert "acknowledges nothing" in d.connect()["why"]
        c.api("STREAM.DELETE.ORDERS")
        c.stream()
        for wrong in ({"ack_policy": "all"}, {"filter_subject": "orders.stock.>"},
                      {"deliver_subject": "elsewhere"}, {"max_deliver": 5},
                      {"headers_only": True}):
            c.consumer("g_payment", "orders.payment.>", **wrong)
            assert "consumer g_payment" in d.connect()["why"]
            c.api("CONSUMER.DELETE.ORDERS.g_payment")
    assert d.connect()["code"] == "ok"


@pytest.mark.parametrize("config, word", [
    ({"channel": "or.ders"}, "channel"), ({"channel": ""}, "channel"), ({"channel": "x" * 65}, "channel"),
    ({"group": "a b", "listens": ["payment.*"]}, "group"), ({"address": ""}, "servers"),
    ({"address": ",".join(["h:1"] * 17)}, "servers"), ({"tls_certificate": "/x"}, "key"),
    ({"tls_ca": "/x"}, "tls://"), ({"user": "u", "token": "t"}, "only one")])
def test_a_configuration_that_it_can_not_work_with_is_named(config, word, adapter):
    assert word in adapter(1, created="refused", **config).answer["why"]


# ---- who may

def test_user_password_and_token_are_shown_and_a_wrong_one_is_told(serve, adapter):
    server = serve(config='authorization { user: shop, password: "s3cret word" }\n')
    d = adapter(server.port, user="shop", password="s3cret word")
    assert d.connect()["code"] == "ok"
    for config in ({}, {"user": "shop", "password": "wr0ng"}, {"token": "s3cret word"}):
        answer = adapter(server.port, **config).connect()
        assert answer["code"] == "lost" and answer["why"].startswith("it does not let us in: ")
        assert "s3cret" not in answer["why"] and "wr0ng" not in answer["why"]
    server = serve(name="token", config='authorization { token: "t0ken" }\n')
    assert adapter(server.port, token="t0ken").connect()["code"] == "ok"
    assert adapter(server.port, token="t1ken").connect()["code"] == "lost"


def test_what_the_account_may_not_publish_ends_the_connection_with_the_reason(serve, connected):
    server = serve(config='authorization { users = [ { user: a, password: a, permissions: { '
                          'publish: { deny: "orders.payment.>" } } } ] }\n')
    d = connected(server.port, user="a", password="a")
    d.publish(1)
    acked(d, 1)
    d.publish(2, topic="payment.approved")
    assert "it does not permit: Permissions Violation" in d.serve_until_lost()


@pytest.mark.parametrize("forbidden, named", [
    ('publish: { deny: "$JS.API.STREAM.INFO.>" }', "$JS.API.STREAM.INFO.ORDERS"),
    ('publish: { deny: "$JS.API.STREAM.CREATE.>" }', "$JS.API.STREAM.CREATE.ORDERS"),
    ('publish: { deny: "$JS.API.CONSUMER.>" }', "$JS.API.CONSUMER.INFO.ORDERS.g_payment"),
    ('subscribe: { deny: "_INBOX.>" }', '"_INBOX.>"')])
def test_what_the_account_may_not_ask_for_is_named_in_the_same_words_each_time(
        forbidden, named, serve, adapter):
    server = serve(config='authorization { users = [ { user: a, password: a, permissions: { '
                          f'{forbidden} }} }} ] }}\n')
    d = adapter(server.port, user="a", password="a", listens=["payment.*"])
    whys = {d.connect()["why"] for _ in range(2)}
    assert len(whys) == 1
    why = whys.pop()
    assert "it does not permit: Permissions Violation" in why and named in why


def test_a_file_of_credentials_lets_in_and_one_of_another_operator_does_not(
        serve, adapter, connected, tmp_path):
    nats.need_server()
    operator = nats_keys.Operator()
    server = serve(config=operator.config)
    path = operator.credentials(tmp_path / "user.creds")
    d = connected(server.port, credentials=str(path), listens=["order.*"])
    d.publish(1)
    acked(d, 1)
    assert d.receive(1)[0]["id"] == "m-1"
    d.do("disconnect")
    # Read anew for each connection: who renews it needs no restart.
    operator.credentials(path, pub={"deny": ["orders.>"]})
    assert d.connect()["code"] == "ok"
    d.publish(2)
    assert "it does not permit" in d.serve_until_lost()
    d.do("disconnect")
    nats_keys.Operator().credentials(path)
    assert d.connect()["why"].startswith("it does not let us in: ")
    path.unlink()
    why = d.connect()["why"]
    assert str(path) in why and "No such file" in why
    assert adapter(server.port).connect()["why"].startswith("it does not let us in: ")


def tls_config(paths):
    return (f'tls {{ cert_file: "{paths["server"]}", key_file: "{paths["server_key"]}", '
            f'ca_file: "{paths["ca"]}", verify: true }}\n')


def test_tls_shows_both_certificates_and_carries_what_plain_text_does(
        serve, adapter, connected, tmp_path):
    nats.need_server()
    paths = nats.certificates(tmp_path / "ca")
    other = nats.certificates(tmp_path / "other")
    server = serve(config=tls_config(paths))
    config = {"tls_ca": paths["ca"], "tls_certificate": paths["client"],
              "tls_key": paths["client_key"]}
    config = {k: str(v) for k, v in config.items()}
    d = connected(server.port, "tls", listens=["payment.*"], **config)
    # More than a record, and more than the socket takes at once.
    d.do("fill", 1, "order.placed", "k", "m-1", "o", 900000)
    acked(d, 1)
    answer = d.do("flood", 10, 300, "payment.approved", 20000, 100000)
    assert answer["acked"] == 300, answer
    left = 300 - answer["received"]
    assert d.do("take", left, 100000)["received"] == left
    for wrong in ({"tls_ca": str(other["ca"])}, {"tls_certificate": "", "tls_key": ""},
                  {"tls_certificate": str(other["client"]), "tls_key": str(other["client_key"])}):
        answer = adapter(server.port, "tls", **{**config, **wrong}).connect()
        assert answer["code"] == "lost", answer
        # Whether the end or a reset is what is read of the server's refusal, the kernels decide.
        assert answer["why"].startswith("TLS fails: " if "tls_ca" in wrong
                                        else "it closes the connection")
    for option, path, what in (("tls_key", "/nowhere", "/nowhere"), ("tls_ca", "/nowhere", "/nowhere"),
                               ("tls_key", str(other["client_key"]), "mismatch")):
        why = adapter(server.port, "tls", **{**config, option: path}).connect()["why"]
        assert option in why and path in why and what in why
    # No way around it, in either direction.
    assert adapter(server.port).connect()["why"].startswith("TLS fails: ")
    assert adapter(serve(name="plain").port, "tls").connect()["why"] == "TLS fails: it offers none"


def test_a_certificate_of_another_host_is_not_taken(serve, adapter, tmp_path):
    nats.need_server()
    paths = nats.certificates(tmp_path / "ca", host="127.0.0.9")
    server = serve(config=tls_config(paths))
    answer = adapter(server.port, "tls", tls_ca=str(paths["ca"]),
                     tls_certificate=str(paths["client"]),
                     tls_key=str(paths["client_key"])).connect()
    assert answer["code"] == "lost" and "TLS fails: " in answer["why"], answer


# ---- in

def test_a_message_comes_with_topic_id_type_attributes_and_bytes(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*", "stock.*"])
    with nats.Client(server.port) as c:
        c.put("orders.payment.approved", b"\0\xff", {
            "Nats-Msg-Id": "p-1", "Content-Type": "application/x", "ce-Subject": "o-1",
            "CE-comment": "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-bad": "%zz", "other": "x"})
        c.put("orders.order.placed", b"not for us")
        c.put("orders.stock.taken.in.parts", b"")
    deliveries = {m["topic"]: m for m in d.receive(2)}
    m = deliveries["payment.approved"]
    assert (m["id"], m["type"], m["body"], m["is_too_large"]) == ("p-1", "application/x", b"\0\xff",
                                                                 False)
    assert m["attributes"] == {"subject": "o-1", "comment": "Euro € 😀", "bad": "%zz"}
    m = deliveries["stock.taken.in.parts"]
    assert m["body"] == b"" and m["attributes"] == {} and m["id"] == "" and m["type"] == ""
    for m in deliveries.values():
        assert d.ack(m)["code"] == "ok"
    assert d.do("ack", 12345)["code"] == "ok"  # nobody's
    d.do("disconnect")  # the acks have gone with it
    with nats.Client(server.port) as c:
        for name in ("g_payment", "g_stock"):
            assert c.api(f"CONSUMER.INFO.ORDERS.{name}")["num_ack_pending"] == 0


def test_a_message_is_handed_over_as_often_as_attributes_and_bytes_fit(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*"], body_max=1000)
    with nats.Client(server.port) as c:
        c.put("orders.payment.a", b"x" * 1000, {f"ce-a{n}": "1" for n in range(24)})
        c.put("orders.payment.b", b"x" * 1001, {f"ce-a{n}": "1" for n in range(24)})
        c.put("orders.payment.c", b"x", {f"ce-a{n}": "1" for n in range(25)})
    one, two, three = d.receive(3)
    assert (one["length"], one["is_too_large"], len(one["attributes"])) == (1000, False, 24)
    assert (two["length"], two["is_too_large"], len(two["attributes"])) == (1000, True, 24)
    assert (three["length"], three["is_too_large"], len(three["attributes"])) == (1, True, 24)


def test_no_more_wait_for_their_ack_than_may_and_all_come_in_order(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        for n in range(300):
            c.put("orders.payment.approved", b"%d" % n)
    # The driver itself refuses a message beyond the bound.
    d = connected(server.port, listens=["payment.*"], unacked_max=8)
    bodies = []
    while len(bodies) < 300:
        for m in d.receive(1):
            bodies.append(int(m["body"]))
            d.ack(m)
        d.events.clear()
    assert bodies == list(range(300))


def test_more_patterns_than_messages_that_may_wait_get_their_turn(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        for n in range(3):
            for kind in "abc":
                c.put(f"orders.{kind}.x", b"%d" % n)
    d = connected(server.port, listens=["a.*", "b.*", "c.*"], unacked_max=2)
    got = 0
    while got < 9:
        for m in d.receive(1):
            got += 1
            d.ack(m)
        d.events.clear()


def test_no_more_is_asked_for_than_there_is_room_for(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*"], body_max=100)
    d.do("room", 200)
    with nats.Client(server.port) as c:
        for n in range(4):
            c.put("orders.payment.a", b"%d" % n * 100)
    assert [m["body"][:1] for m in d.receive(2)] == [b"0", b"1"]
    d.publish(1)
    acked(d, 1)  # what else there is goes on
    for _ in range(5):
        d.do("serve", 50)
    assert len(d.of("received")) == 2
    with nats.Client(server.port) as c:  # and it lies at the server, not on its way
        assert c.api("CONSUMER.INFO.ORDERS.g_payment")["num_pending"] == 2
    d.do("room", 101)  # a byte more than the next one needs
    assert [m["body"][:1] for m in d.receive(4)][2:] == [b"2", b"3"]


def test_what_was_not_acked_comes_again_to_the_next_connection_before_what_is_new(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", ack_wait=10**9)
        d = connected(server.port, listens=["payment.*"])
        for n in range(5):
            c.put("orders.payment.approved", b"%d" % n)
        deliveries = d.receive(5)
        d.ack(deliveries[1])
        d.do("disconnect")
        c.put("orders.payment.approved", b"5")
    d.events.clear()
    assert d.connect()["code"] == "ok"
    # Where this takes longer than ack_wait some of them come twice.
    assert d.serve_until(lambda: len({m["body"] for m in d.of("received")}) == 5)["code"] == "ok"
    bodies = list(dict.fromkeys(m["body"] for m in d.of("received")))
    assert bodies == [b"0", b"2", b"3", b"4", b"5"]
    # Handles of the connection before are nobody's now.
    assert d.ack(deliveries[0])["code"] == "ok"
    for m in d.of("received"):
        d.ack(m)


def test_what_comes_again_comes_in_the_streams_order_whoever_gave_it_back(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", ack_wait=10**9)
        for n in range(6):
            c.put("orders.payment.approved", b"%d" % n)
        # Somebody had five of them, and wants the fourth and then the second another time.
        c.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.g_payment", b'{"batch":5}',
                  reply="_INBOX.test.pulled")
        replies = [next_request(c)[0] for _ in range(5)]
        for n in (3, 1):
            c.publish(replies[n], b"-NAK")
        c.ask("nowhere")  # so that the server has heard it
        d = connected(server.port, listens=["payment.*"])
        assert [m["body"] for m in d.receive(6)] == [b"%d" % n for n in range(6)]
        for m in d.of("received"):
            d.ack(m)


def test_what_goes_to_a_connection_that_is_half_dead_comes_before_what_is_behind_it(
        serve, connected, proxy):
    server = serve()
    door = proxy(server.port)
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", ack_wait=10**9)
        d = connected(door.port, listens=["payment.*"], unacked_max=2)
        d.serve_until(lambda: c.api("CONSUMER.INFO.ORDERS.g_payment")["num_waiting"] == 2)
        # The server goes on to see it there, with room for two messages.
        door.freeze()
        d.do("disconnect")
        assert d.connect()["code"] == "ok"
        for n in range(6):
            c.put("orders.payment.approved", b"%d" % n)
    bodies = []
    while len(bodies) < 6:
        for m in d.receive(1):
            bodies.append(m["body"])
            d.ack(m)
        d.events.clear()
    assert bodies == [b"%d" % n for n in range(6)]


def test_what_takes_longer_than_its_time_to_be_acked_does_not_come_twice(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", ack_wait=10**9)
        d = connected(server.port, listens=["payment.*"])
        c.put("orders.payment.approved", b"slow")
        d.receive(1)
        # Its time is over three times, by the clock of the server that asks for it.
        until = time.monotonic() + 3
        d.serve_until(lambda: time.monotonic() > until)
        assert len(d.of("received")) == 1
        d.ack(d.of("received")[0])
        d.serve_until(lambda: c.api("CONSUMER.INFO.ORDERS.g_payment")["num_ack_pending"] == 0)


def test_limits_of_a_consumer_that_is_there_are_kept(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", max_batch=3, max_expires=10**9)
        for n in range(20):
            c.put("orders.payment.approved", b"%d" % n)
        d = connected(server.port, listens=["payment.*"])
        assert d.do("take", 20, 100000)["received"] == 20


def test_after_stop_receiving_nothing_comes_and_acks_still_go(serve, connected):
    server = serve()
    with nats.Client(server.port) as c:
        c.stream()
        c.consumer("g_payment", "orders.payment.>", ack_wait=10**9)
        for n in range(3):
            c.put("orders.payment.approved", b"%d" % n)
        d = connected(server.port, listens=["payment.*"])
        deliveries = d.receive(3)
        d.do("stop_receiving")
        c.put("orders.payment.approved", b"3")
        d.publish(1)
        acked(d, 1)
        for m in deliveries:
            d.ack(m)
        d.serve_until(lambda: c.api("CONSUMER.INFO.ORDERS.g_payment")["ack_floor"]["stream_seq"] >= 3)
        assert len(d.of("received")) == 3
        d.do("disconnect")
        assert d.connect()["code"] == "ok"
        assert d.receive(4)[3]["body"] == b"3"


def test_a_consumer_that_was_deleted_is_made_again_by_the_next_connection(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*"])
    with nats.Client(server.port) as c:
        # It has been asked for messages.
        d.serve_until(lambda: c.api("CONSUMER.INFO.ORDERS.g_payment")["num_waiting"] > 0)
        c.api("CONSUMER.DELETE.ORDERS.g_payment")
        assert d.serve_until_lost() == "consumer g_payment is gone"
        connect_again(d)
        c.put("orders.payment.approved", b"x")
    assert d.receive(1)[0]["body"] == b"x"


def test_a_stream_that_was_deleted_is_missed_by_who_only_listens(serve, connected):
    server = serve()
    d = connected(server.port, listens=["payment.*"])
    with nats.Client(server.port) as c:
        d.serve_until(lambda: c.api("CONSUMER.INFO.ORDERS.g_payment")["num_waiting"] > 0)
        c.api("STREAM.DELETE.ORDERS")
        assert d.serve_until_lost() == "consumer g_payment is gone"
        connect_again(d)
        c.put("orders.payment.approved", b"x")
    assert d.receive(1)[0]["body"] == b"x"


def test_an_account_without_jetstream_says_so(serve, adapter):
    server = serve(config='accounts { A { users: [ { user: a, password: a } ] }, '
                          'B { jetstream: enabled, users: [ { user: b, password: b } ] } }\n')
    why = adapter(server.port, user="a", password="a").connect()["why"]
    assert why == "the server has no JetStream for this account"
    assert adapter(server.port, user="b", password="b").connect()["code"] == "ok"


def test_answers_that_are_none_have_the_message_sent_again(serve, connected):
    """Somebody listens where a stream should, and says what he likes."""
    server = serve()
    with nats.Client(server.port) as c:
        c.stream(subjects=["orders.order.>"])
        d = connected(server.port)
        c._say("SUB", "orders.payment.>", "9")
        for tag, answer in enumerate((b"", b"hello", b"[1]", b"{}", b'{"error":{}}',
                                      b'{"error":{"code":500,"description":"line\\none"}}')):
            c.ask("nowhere")  # so that the subscription is known
            d.publish(tag, topic="payment.approved")
            d.do("serve", 0)
            subject = None
            d.say("serve", 60000)
            while subject != "orders.payment.approved":
                reply, subject = next_request(c)
            c.publish(reply, answer)
            c.publish(reply, b'{"stream":"ORDERS","seq":1}')  # too late: it has its answer
            d.result()
            assert d.serve_until_ended(tag)[tag]["event"] == "again"


def next_request(client):
    """The reply subject and the subject of the next message."""
    while True:
        words = client._line().split(b" ")
        if words[0] in (b"MSG", b"HMSG"):
            client.file.read(int(words[-1]) + 2)
            fixed = 4 if words[0] == b"MSG" else 5
            return (words[3].decode() if len(words) > fixed else None), words[1].decode()
        if words[0] == b"PING":
            client._say("PONG")


@pytest.fixture(scope="module")
def serve_once(tmp_path_factory):
    """A server for tests that leave nothing in it."""
    nats.need_server()
    server = nats.Server(tmp_path_factory.mktemp("nats"))
    yield server
    server.end()
