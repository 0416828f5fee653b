"""The carrier's steps."""
import pytest

from client import eventually
from shop import UNKNOWN_ID, cancel, order, place, publish, types_of, wait_for, wait_status


@pytest.fixture
def shipped(client):
    return wait_status(client, place(client)["orderId"], "SHIPPED")


def dispatch(client, shipment):
    """Also when Shipments has not heard yet that the order counts it."""
    return eventually(lambda: (lambda a: a.status == 200 and a)(
        client.post(f"/shipments/{shipment}/dispatch")))


def test_a_shipment_can_be_read(client, shipped):
    s = client.get(f"/shipments/{shipped['shipmentId']}").is_(200).json
    assert s["shipmentId"] == shipped["shipmentId"]
    assert s["orderId"] == shipped["orderId"]
    assert s["trackingNumber"] == shipped["trackingNumber"]


def test_a_shipment_that_is_not_there_is_not_found(client):
    for id in ("shipment-nobody", UNKNOWN_ID, "white%20space"):
        client.get(f"/shipments/{id}").problem(404, "not_found")
        client.post(f"/shipments/{id}/dispatch").problem(404, "not_found")
        client.post(f"/shipments/{id}/deliver").problem(404, "not_found")


def test_dispatch_and_deliver_repeat_safely(client, shipped):
    shipment = shipped["shipmentId"]
    dispatch(client, shipment)
    client.post(f"/shipments/{shipment}/dispatch").is_(200)
    for _ in range(2):
        client.post(f"/shipments/{shipment}/deliver").is_(200)
    wait_for(client, shipped["orderId"], "DELIVERED")
    client.post(f"/shipments/{shipment}/deliver").is_(200)
    client.post(f"/shipments/{shipment}/dispatch").is_(200)  # it has left, that still holds
    types = types_of(client, shipped["orderId"])
    assert types.count("ShipmentDispatched") == types.count("ShipmentDelivered") == 1


def test_a_delivered_order_is_final(client, shipped):
    dispatch(client, shipped["shipmentId"])
    client.post(f"/shipments/{shipped['shipmentId']}/deliver").is_(200)
    wait_for(client, shipped["orderId"], "DELIVERED")
    cancel(client, shipped["orderId"]).problem(409, "illegal_state")
    assert order(client, shipped["orderId"])["status"] == "DELIVERED"


def test_the_carriers_steps_take_no_body_fields(client, shipped):
    client.post(f"/shipments/{shipped['shipmentId']}/dispatch", {"when": "now"}).problem(
        400, "validation")


def test_a_carrier_that_repeats_itself_late_takes_nothing_back(client, shipped):
    id, shipment = shipped["orderId"], shipped["shipmentId"]
    dispatch(client, shipment)
    publish(client, "shipment.delivered", id, shipmentId=shipment).is_(202)
    wait_for(client, id, "DELIVERED")
    before = client.get(f"/shipments/{shipment}").is_(200).json
    for topic in ("shipment.dispatched", "shipment.delivered"):
        publish(client, topic, id, shipmentId=shipment).is_(202)
    assert types_of(client, id).count("ShipmentDispatched") == 2  # they were taken in
    assert client.get(f"/shipments/{shipment}").is_(200).json == before
