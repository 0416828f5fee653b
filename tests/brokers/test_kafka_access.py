"""How the adapter for Kafka comes in: TLS, SASL, and topics that it has made. The mock knows none of
these; a gate before it does."""
import pytest

from driver import PATIENCE_SECONDS
from brokers import KafkaMock, make_certificates
from kafka_gate import KafkaGate

PASSWORD = "s3cret, w=ith signs"


@pytest.fixture(scope="module")
def cluster():
    mock = KafkaMock()
    mock.topics = set()
    yield mock
    mock.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def gate(cluster):
    """gate(…) gives a KafkaGate before the cluster."""
    gates = []

    def make(**settings):
        gates.append(KafkaGate(cluster, **settings))
        return gates[-1]
    yield make
    for g in gates:
        g.close()


@pytest.fixture
def adapter(cluster, drive):
    """adapter(address, …) gives a driver, created and not connected."""
    def make(address, scheme="kafka", topic="access", **config):
        if topic not in cluster.topics:
            cluster.topics.add(topic)
            cluster.do("topic", topic, 1)
        d = drive("kafka", **{"url": f"{scheme}://{address}", "address": address, "name": "test",
                              "channel": topic, "group": "g", **config})
        assert d.create()["code"] == "ok"
        return d
    return make


def files(folder, name="client", ca="ca"):
    return {"tls_ca": str(folder / f"{ca}.pem"), "tls_certificate": str(folder / f"{name}.pem"),
            "tls_key": str(folder / f"{name}.key")}


def works(d):
    answer = d.connect()
    assert answer["code"] == "ok", answer
    d.publish(1)
    assert d.serve_until_ended(1)[1]["event"] == "acked"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_over_tls_it_logs_in_by_whatever_the_broker_knows_the_safest_first(
        mechanism, gate, adapter, certificates):
    g = gate(certificates=certificates, mechanism=mechanism, password=PASSWORD)
    d = adapter(g.address, "kafka+tls", user="shop", password=PASSWORD, **files(certificates))
    works(d)
    order = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
    # Each connection to the broker begins the same way.
    assert list(dict.fromkeys(g.asked)) == order[:order.index(mechanism) + 1]


def test_without_tls_the_password_is_never_said(gate, adapter):
    g = gate(mechanism="PLAIN", password=PASSWORD)
    answer = adapter(g.address, user="shop", password=PASSWORD).connect()
    assert answer["code"] == "lost" and answer["why"].startswith("it does not let us in: ")
    assert "PLAIN" not in g.asked and "SCRAM-SHA-256" in g.asked
    assert PASSWORD not in answer["why"]
    g = gate(mechanism="SCRAM-SHA-256", password=PASSWORD)
    works(adapter(g.address, user="shop", password=PASSWORD))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512"])
def test_a_wrong_password_is_told_and_not_shown(mechanism, gate, adapter, certificates):
    g = gate(certificates=certificates, mechanism=mechanism, password=PASSWORD)
    d = adapter(g.address, "kafka+tls", user="shop", password="wr0ng", **files(certificates))
    whys = {d.connect()["why"] for _ in range(2)}
    assert len(whys) == 1
    why = whys.pop()
    assert why.startswith("it does not let us in: ") and "wrong user or password" in why
    assert "wr0ng" not in why and PASSWORD not in why


def test_messages_come_in_by_the_same_way(gate, adapter, certificates):
    g = gate(certificates=certificates, mechanism="SCRAM-SHA-512", password=PASSWORD,
             wants_certificate=True)
    d = adapter(g.address, "kafka+tls", topic="in", user="shop", password=PASSWORD,
                listens=["order.*"], **files(certificates))
    works(d)
    d.ack(d.receive(1)[0])


def test_certificates_are_shown_and_those_of_others_are_not_taken(gate, adapter, certificates):
    g = gate(certificates=certificates, wants_certificate=True)
    works(adapter(g.address, "kafka+tls", **files(certificates)))
    why = adapter(g.address, "kafka+tls", **files(certificates, ca="other")).connect()["why"]
    assert why.startswith("TLS fails: ") and "verify" in why
    nobody = adapter(g.address, "kafka+tls", tls_ca=str(certificates / "ca.pem")).connect()
    assert nobody["code"] == "lost"
    stranger = adapter(g.address, "kafka+tls", **files(certificates, name="other")).connect()
    assert stranger["code"] == "lost"
    mixed = {**files(certificates), "tls_key": str(certificates / "other.key")}
    why = adapter(g.address, "kafka+tls", **mixed).connect()["why"]
    assert "tls_key" in why and mixed["tls_key"] in why
    for option in files(certificates):
        gone = {**files(certificates), option: "/nowhere"}
        why = adapter(g.address, "kafka+tls", **gone).connect()["why"]
        assert f"{option} '/nowhere'" in why


def test_tls_and_plain_text_do_not_meet(cluster, gate, adapter, certificates):
    g = gate(certificates=certificates)
    plain = adapter(g.address).connect()
    assert plain["code"] == "lost" and "TLS" in plain["why"], plain
    secret = adapter(cluster.address, "kafka+tls", **files(certificates)).connect()
    assert secret["code"] == "lost" and "TLS" in secret["why"], secret


def test_a_topic_that_is_missing_is_made_as_the_broker_likes_it(cluster, gate, adapter):
    g = gate(create_code=0)
    d = adapter(g.address, topic="made")
    cluster.do("topic_error", "made", 3)
    works(d)
    assert g.created == [("made", -1, -1)]


@pytest.mark.parametrize("code, version, what", [
    (44, 4, "the broker's own words"), (29, 4, "the broker's own words"), (0, 3, "requires broker")])
def test_a_topic_that_can_not_be_made_is_told_and_tried_again(code, version, what, cluster, gate,
                                                              adapter):
    topic = f"refused-{code}-{version}"
    g = gate(create_code=code, create_version=version)
    d = adapter(g.address, topic=topic)
    cluster.do("topic_error", topic, 3)
    for _ in range(2):
        answer = d.connect()
        assert answer["code"] == "lost", answer
        assert f"the topic '{topic}' is not there and can't be made: " in answer["why"]
        assert what in answer["why"]
    cluster.do("topic_error", topic, 0)
    works(d)


def test_a_topic_that_somebody_else_has_made_meanwhile_is_there(cluster, gate, adapter):
    g = gate(create_code=36)
    d = adapter(g.address, topic="theirs")
    cluster.do("topic_error", "theirs", 3)
    d.say("connect", 60000)
    assert g.was_asked.wait(PATIENCE_SECONDS)
    cluster.do("topic_error", "theirs", 0)
    assert d.result()["code"] == "ok"
