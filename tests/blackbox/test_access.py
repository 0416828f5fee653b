"""Tokens, roles, hosts and origins."""
import signal

import pytest

from client import Raw, eventually
from conftest import FAST
from shop import UNKNOWN_ID, add_product, order_body, place, unique, wait_for

TOKENS = {"customer": "c" * 43, "context": "x" * 43, "operator": "o" * 43}
ROLES = sorted(TOKENS)

# Every row of the API, with a request that is answered without doing harm, and who may ask.
SHOP, CONTEXT, OPERATOR = {"customer", "operator"}, {"context", "operator"}, {"operator"}
EVERYBODY = set(ROLES) | {None}
ROWS = [
    ("POST", "/carts", SHOP), ("GET", "/carts/x", SHOP), ("POST", "/carts/x/items", SHOP),
    ("PUT", "/carts/x/items/y", SHOP), ("DELETE", "/carts/x/items/y", SHOP),
    ("POST", "/carts/x/convert", SHOP), ("POST", "/orders/checkout", SHOP),
    ("POST", "/orders", SHOP), ("GET", "/orders", SHOP), ("GET", "/orders/x", SHOP),
    ("POST", "/orders/x/pay", SHOP), ("POST", "/orders/x/cancel", SHOP),
    ("POST", "/orders/x/mark-paid", OPERATOR), ("POST", "/orders/x/ready", OPERATOR),
    ("GET", "/orders/x/explain", OPERATOR), ("POST", "/orders/x/complete", OPERATOR), ("POST", "/shipments/x/dispatch", CONTEXT),
    ("POST", "/shipments/x/deliver", CONTEXT), ("GET", "/shipments/x", CONTEXT),
    ("GET", "/products", SHOP), ("GET", "/products/x", SHOP), ("POST", "/products", OPERATOR),
    ("PATCH", "/products/x", OPERATOR), ("GET", "/events", OPERATOR),
    ("GET", "/events/x", OPERATOR), ("GET", "/messages", CONTEXT), ("POST", "/messages", CONTEXT),
    ("POST", "/messages/payment.declined", CONTEXT), ("GET", "/dead-letters", OPERATOR),
    ("GET", "/dead-letters/x", OPERATOR), ("POST", "/dead-letters/retry", OPERATOR),
    ("POST", "/dead-letters/x/retry", OPERATOR), ("POST", "/dead-letters/x/discard", OPERATOR),
    ("GET", "/simulators/payments", OPERATOR),
    ("PUT", "/simulators/payments", OPERATOR), ("GET", "/metrics", OPERATOR),
    ("GET", "/", EVERYBODY), ("GET", "/livez", EVERYBODY), ("GET", "/readyz", EVERYBODY),
]


def write_tokens(path, tokens=None, mode=0o600):
    lines = ["# role token name"]
    lines += [f"{role} {token} {role}-1" for role, token in (tokens or TOKENS).items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


@pytest.fixture(scope="module")
def guarded(start_once, tmp_path_factory):
    path = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens")
    server = start_once(*FAST, "--token-file", str(path))
    server.tokens = path
    return server


@pytest.mark.parametrize("method, path, roles", ROWS, ids=[f"{m} {p}" for m, p, _ in ROWS])
def test_each_row_lets_in_its_roles_and_nobody_else(guarded, method, path, roles):
    for role in [*ROLES, None]:
        with guarded.client(token=TOKENS.get(role)) as client:
            body = {} if method in ("POST", "PUT", "PATCH") else None
            answer = client.request(method, path, body)
            if role in roles:
                assert answer.status not in (401, 403), (role, answer.body)
            elif role is None:
                answer.problem(401, "unauthorized")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            else:
                answer.problem(403, "forbidden")


def test_the_demo_of_a_shop_with_three_tokens(guarded):
    with guarded.client(token=TOKENS["operator"]) as operator, \
            guarded.client(token=TOKENS["customer"]) as customer, \
            guarded.client(token=TOKENS["context"]) as carrier:
        sku = add_product(operator)
        o = customer.post("/orders", order_body(sku)).is_(201).json
        shipment = wait_for(customer, o["orderId"], "SHIPPED")["shipmentId"]
        eventually(lambda: carrier.post(f"/shipments/{shipment}/dispatch").status == 200)
        carrier.post(f"/shipments/{shipment}/deliver").is_(200)
        wait_for(customer, o["orderId"], "DELIVERED")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic b3A6cGFzcw==",
                                   "Bearer " + "o" * 42, "Bearer " + "o" * 44,
                                   "Bearer " + "o" * 4000])
def test_a_wrong_token_is_no_token(guarded, value):
    with guarded.client() as client:
        answer = client.get("/orders", headers={"Authorization": value})
        body = answer.problem(401, "unauthorized")
        assert "errors" not in body


def test_the_scheme_is_read_without_case(guarded):
    with guarded.client() as client:
        client.get("/orders", headers={"Authorization": f"bearer {TOKENS['customer']}"}).is_(200)


def test_tokens_never_reach_the_log(guarded):
    with guarded.client(token="s3cr3t-wrong-token") as client:
        client.get("/orders").is_(401)
    eventually(lambda: "access_refused" in guarded.log())
    for token in [*TOKENS.values(), "s3cr3t"]:
        assert token not in guarded.log()


def test_the_caller_is_part_of_an_idempotency_key(guarded):
    key, body = unique("key"), {"customerId": unique("c")}
    with guarded.client(token=TOKENS["operator"]) as one, \
            guarded.client(token=TOKENS["customer"]) as two:
        first = one.post("/carts", body, headers={"Idempotency-Key": key}).is_(201)
        second = two.post("/carts", body, headers={"Idempotency-Key": key}).is_(201)
        assert first.json["cartId"] != second.json["cartId"]
        assert second.headers["Idempotent-Replayed"] is None


def test_tokens_are_reread_on_hup_and_a_bad_file_changes_nothing(start, tmp_path):
    path = write_tokens(tmp_path / "tokens")
    server = start(*FAST, "--token-file", str(path))

    def status(token):
        with server.client(token=token) as client:
            return client.get("/orders").status
    new = {**TOKENS, "customer": "n" * 43}
    write_tokens(path, new)
    assert status(TOKENS["customer"]) == 200  # not yet
    server.send_signal(signal.SIGHUP)
    eventually(lambda: status("n" * 43) == 200)
    assert status(TOKENS["customer"]) == 401
    path.write_text("king " + "k" * 43 + "\n")
    server.send_signal(signal.SIGHUP)
    eventually(lambda: "tokens_kept" in server.log())
    assert status("n" * 43) == 200 and status("k" * 43) == 401


def test_two_tokens_of_one_role_are_good_at_once(start, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"operator {'a' * 43} old\noperator {'b' * 43} new\n")
    path.chmod(0o600)
    server = start("--token-file", str(path))
    for token in ("a" * 43, "b" * 43):
        with server.client(token=token) as client:
            client.get("/events").is_(200)


# ---- who may ask on loopback

@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:1",
                                  "[::1]", "[::1]:8080", "LOCALHOST"])
def test_on_loopback_local_names_are_answered(server, host):
    with Raw(server) as raw:
        raw.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n").answer().is_(200)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.2", "localhost.evil.example",
                                  "10.0.0.1:80"])
def test_on_loopback_other_names_are_not(server, host):
    with Raw(server) as raw:
        answer = raw.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n").answer()
        assert answer.status in (400, 403, 421)


def test_configured_names_are_answered_too(start):
    server = start("--names", "shop.example, orders.local")
    for host, ok in (("shop.example", True), ("orders.local:81", True), ("other.example", False)):
        with Raw(server) as raw:
            answer = raw.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n").answer()
            assert (answer.status == 200) == ok


def test_a_foreign_page_cannot_send_commands(server, client):
    body = {"customerId": "c"}
    foreign = client.post("/carts", body, headers={"Origin": "http://evil.example"})
    foreign.problem(403, "forbidden")
    client.post("/carts", body, headers={"Origin": "null"}).is_(403)
    own = {"Origin": f"http://{server.host}:{server.port}"}
    client.post("/carts", body, headers=own).is_(201)
    client.get("/orders", headers={"Origin": "http://evil.example"}).is_(200)


def test_configured_origins_may_send_commands(start):
    with start("--origins", "https://shop.example").client() as client:
        body = {"customerId": "c"}
        client.post("/carts", body, headers={"Origin": "https://shop.example"}).is_(201)
        client.post("/carts", body, headers={"Origin": "http://shop.example"}).is_(403)


def test_without_tokens_everybody_on_this_host_is_operator(client):
    client.get("/events").is_(200)
    client.get("/metrics").is_(200)
    place(client)
    client.get(f"/orders/{UNKNOWN_ID}").is_(404)
