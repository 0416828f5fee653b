"""The event store, for operators and audit."""
import pytest

from shop import UNKNOWN_ID, add_product, events_of, place, types_of, unique, wait_status


@pytest.fixture(scope="module")
def shipped(server):
    with server.client() as c:
        o = place(c)
        wait_status(c, o["orderId"], "SHIPPED")
        return o["orderId"]


def test_events_are_listed_in_log_order_without_a_gap(client, shipped):
    positions = [e["position"] for e in client.all("/events?limit=500")]
    assert positions == list(range(1, len(positions) + 1))


def test_ids_ascend_with_positions(client, shipped):
    ids = [e["eventId"] for e in client.all("/events?limit=500")]
    assert ids == sorted(ids)


def test_an_orders_events_include_those_of_its_payment_and_shipment(client, shipped):
    kinds = {e["aggregateType"] for e in events_of(client, shipped)}
    assert kinds == {"Order", "Payment", "Reservation", "Shipment"}
    only = client.all(f"/events?aggregateId={shipped}")
    assert {e["aggregateType"] for e in only} == {"Order"}
    payment = [e for e in events_of(client, shipped) if e["aggregateType"] == "Payment"][0]
    found = client.all(f"/events?aggregateId={payment['aggregateId']}")
    assert [e["eventType"] for e in found] == ["PaymentProcessed"]
    assert client.all(f"/events?correlationId={shipped}") == events_of(client, shipped)


def test_events_are_found_by_type(client, shipped):
    found = client.all("/events?eventType=OrderShipped")
    assert {e["eventType"] for e in found} == {"OrderShipped"}
    assert shipped in [e["payload"]["orderId"] for e in found]
    both = client.all(f"/events?eventType=OrderPaid&orderId={shipped}")
    assert [e["eventType"] for e in both] == ["OrderPaid"]


def test_one_event_is_found_by_its_id(client, shipped):
    event = events_of(client, shipped)[3]
    assert client.get(f"/events/{event['eventId']}").is_(200).json == event
    for id in (UNKNOWN_ID, "no-id-of-ours", shipped):
        client.get(f"/events/{id}").problem(404, "not_found")


def test_a_page_leads_to_the_next(client, shipped):
    answer = client.get(f"/events?orderId={shipped}&limit=3").is_(200)
    assert len(answer.json["data"]) == 3
    link = answer.headers["Link"]
    assert link.endswith('rel="next"')
    following = client.get(link[link.index("<") + 1:link.index(">")]).is_(200).json
    assert [e["eventType"] for e in following["data"]] == types_of(client, shipped)[3:6]
    last = client.get(f"/events?orderId={shipped}&limit=500").is_(200)
    assert last.json["nextCursor"] is None and last.headers["Link"] is None


def test_reading_on_after_a_position(client, shipped):
    events = events_of(client, shipped)
    rest = client.all(f"/events?orderId={shipped}&after={events[4]['position']}")
    assert rest == events[5:]


def test_what_was_never_heard_of_has_no_events(client):
    assert client.get(f"/events?orderId={UNKNOWN_ID}").is_(200).json == {"data": [],
                                                                        "nextCursor": None}


@pytest.mark.parametrize("query", ["eventType=OrderDreamt", "limit=0", "limit=501", "limit=-1",
                                   "after=x", "after=-1", "order=1"])
def test_the_event_store_says_what_it_cannot_be_asked(client, query):
    client.get(f"/events?{query}").problem(400, "validation")


def test_product_events_have_the_product_as_their_correlation(client):
    sku = add_product(client, stock=3)
    client.patch(f"/products/{sku}", {"stockDelta": 2}).is_(200)
    client.patch(f"/products/{sku}", {"name": "Other"}).is_(200)
    events = client.all(f"/events?aggregateId={sku}")
    assert [e["eventType"] for e in events] == ["ProductAdded", "StockAdjusted", "ProductChanged"]
    assert {e["metadata"]["correlationId"] for e in events} == {sku}
    assert [e["sequence"] for e in events] == [1, 2, 3]


def test_a_trace_is_kept_with_the_event(client):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    cart = client.post("/carts", {"customerId": unique("c")},
                       headers={"traceparent": trace}).is_(201).json["cartId"]
    event = client.all(f"/events?aggregateId={cart}")[0]
    assert event["metadata"]["traceparent"] == trace
