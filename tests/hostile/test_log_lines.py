"""What a client says never becomes a line of the log, nor a field of one, nor a secret in one."""
import json
import re
import signal

from attack import JSON, head
from beside import Bystander
from client import Raw
from serving import FAST
from shop import ADDRESS, add_product, order_body, place, publish, simulate, unique, \
    wait_dead_letter, wait_for

FORGED = "2026-01-01T00:00:00.000Z level=error event=forged"
# What could begin a line, end a value, move a terminal, or turn the direction of writing.
BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x00", "\x1b[2J", "\x1b]0;x\x07", "\x7f",
          "\x85", "\x9b2J", "\u2028", "\u2029", "\u202e", "\u200b", "\u2066", "\ufeff",
          '"', "\\", '" level=error x="', " ", "=", "\t"]
PRINTABLE = ['"', "\\", '" level=error x="', "=", " ", "\\n", "\\u000a", "%0a", "$(id)", "%s%n"]

PLAIN = r'[!#-<>-\[\]-~]+'
QUOTED = r'"(?:[^"\\\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]' \
         r'|\\[nrt"\\]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})*"'
TIME = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z'
LINE = re.compile(rf'ts={TIME} level=(debug|info|warn|error) event=([a-z_]+)'
                  rf'((?: [A-Za-z_]+=(?:{PLAIN}|{QUOTED}))*)')


def lines_of(server):
    """The events of the log's lines, each of which has exactly the form of one."""
    data = server.log_path.read_bytes()
    assert data.endswith(b"\n")
    events = []
    for line in data[:-1].split(b"\n"):
        match = LINE.fullmatch(line.decode())
        assert match, line
        assert match.group(2) != "forged", line
        events.append((match.group(2), match.group(3)))
    return events


def test_nothing_that_a_client_says_breaks_a_line(start):
    server = start(*FAST, "--set=log.level=debug")
    with Bystander(server), server.client() as client:
        sku = add_product(client)
        order = place(client, sku)["orderId"]
        wait_for(client, order, "SHIPPED")
        for text in BREAKS:
            evil = f"x{text}ts={FORGED}"
            raw = json.dumps(evil)
            # As ids, where they must be refused, and as texts, where they may be anything.
            for body in (f'{{"messageId":{raw},"payload":{{"orderId":"x","reason":"r"}}}}',
                         f'{{"messageId":"m","payload":{{"orderId":{raw},"reason":"r"}}}}',
                         f'{{"messageId":"m","payload":{{"orderId":"x","reason":1,{raw}:2}}}}'):
                client.post("/messages/stock.rejected", raw=body.encode()).is_(400)
            publish(client, "stock.rejected", unique("nobody"), reason=evil[:500], note=evil)
            client.post("/orders", order_body(sku, customerId=evil)).is_(400)
            client.post("/products", {"sku": unique("E"), "name": evil, "description": evil})
            street = evil.replace("\x00", "")  # a NUL is in no text
            mine = place(client, sku, shippingAddress={**ADDRESS, "street": street})["orderId"]
            client.post(f"/orders/{mine}/cancel", {"reason": evil})
            publish(client, "shipment.cancelled", mine, shipmentId=evil)
            simulate(client, "payments", reason=street)
            # In paths, queries and header fields, escaped and bare.
            escaped = "".join(f"%{b:02x}" for b in evil.encode())
            for path in (f"/orders/{escaped}", f"/{escaped}", f"/events?aggregateId={escaped}",
                         f"/orders?{escaped}=1", f"/messages?topic={escaped}"):
                assert client.get(path).status in (200, 400, 404)
            client.post(f"/messages/{escaped}", {"messageId": "m"})
            for request in (head(f"GET /{evil} HTTP/1.1"), head(f"{evil} / HTTP/1.1"),
                            head("GET /livez HTTP/1.1", host=evil),
                            head("GET /livez HTTP/1.1", f"User-Agent: {evil}"),
                            head("GET /livez HTTP/1.1", f"X-User-Id: {evil}"),
                            head("GET /livez HTTP/1.1", f"{evil}: x"),
                            head("POST /carts HTTP/1.1", JSON, f"Idempotency-Key: {evil}",
                                 f"traceparent: {evil}", "Content-Length: 18") +
                            '{"customerId":"c"}'):
                with Raw(server, timeout=60) as bare:
                    bare.send(request.encode()).finish()
                    bare.answer()
    assert server.stop() == 0
    events = [event for event, _ in lines_of(server)]
    assert "dead_letter" in events and "message" in events and "stopped" in events


def test_who_retries_a_dead_letter_is_named_and_escaped(start):
    """The one text of a client that a line of the log holds as it was sent."""
    server = start(*FAST)
    with server.client() as client:
        for text in PRINTABLE:
            nobody = unique("nobody")
            publish(client, "stock.rejected", nobody, reason="r").is_(202)
            letter = wait_dead_letter(client, nobody)["deadLetterId"]
            user = f"x{text}level=error event=forged"[:64]
            client.post(f"/dead-letters/{letter}/discard", {"reason": "r"},
                        headers={"X-User-Id": user}).is_(200)
    assert server.stop() == 0
    told = [fields for event, fields in lines_of(server) if event == "dead_letter_discarded"]
    assert len(told) == len(PRINTABLE)
    for text, fields in zip(PRINTABLE, told):
        name, value = re.search(rf" (userId)=({PLAIN}|{QUOTED})$", fields).groups()
        user = f"x{text}level=error event=forged"
        assert value.strip('"').encode().decode("unicode_escape") == user or "\\u" in user
        # No field of its own.
        assert not re.search(r' level=', re.sub(QUOTED, '""', fields))


def test_names_of_the_system_are_escaped_too(start, tmp_path):
    """A directory and a variable may be called anything."""
    evil = f"x\u2028\u202e\u0085\" ts={FORGED}"
    data = tmp_path / evil
    data.mkdir(mode=0o700)
    server = start(*FAST, "--data", str(data), env={"ORDERLY_EVIL\nLEVEL": "x"})
    with server.client() as client:
        place(client)
    assert server.stop() == 0
    found = {event: fields for event, fields in lines_of(server)}
    assert 'x\\u2028\\u202e\\u0085\\" ts=' in found["listening"]
    assert "\\n" in found["unknown_variables"]


def test_no_secret_is_in_a_line(start, tmp_path):
    """Neither tokens, good or bad, nor keys, bodies, addresses, or who asked from where."""
    secrets = {name: unique(name) + "secret" * 7 for name in
               ("customer", "context", "operator", "guess", "key", "street", "customerid", "agent",
                "reason", "query", "path", "userid")}
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(f"{r} {secrets[r]} {r}-1\n" for r in
                              ("customer", "context", "operator")))
    tokens.chmod(0o600)
    server = start(*FAST, "--set=log.level=debug", "--token-file", str(tokens))
    with server.client(token=secrets["operator"]) as client:
        sku = add_product(client)
        headers = {"Idempotency-Key": secrets["key"], "User-Agent": secrets["agent"],
                   "X-User-Id": secrets["userid"][:64]}
        order = client.post("/orders", order_body(sku, customerId=secrets["customerid"][:64],
                            shippingAddress={**ADDRESS, "street": secrets["street"]}),
                            headers=headers).is_(201).json["orderId"]
        client.post(f"/orders/{order}/cancel", {"reason": secrets["reason"]})
        client.get(f"/orders?customerId={secrets['query'][:64]}").is_(200)
        client.get(f"/{secrets['path']}").is_(404)
        for scheme in ("Bearer", "Basic", ""):
            client.get("/orders", headers={
                "Authorization": f"{scheme} {secrets['guess']}"}).problem(401, "unauthorized")
        client.get("/events", headers={
            "Authorization": f"Bearer {secrets['customer']}"}).problem(403, "forbidden")
        server.send_signal(signal.SIGHUP)
        tokens.write_text(f"nobody {secrets['guess']}\n")
        server.send_signal(signal.SIGHUP)
        client.get("/orders").is_(200)
    assert server.stop() == 0
    lines_of(server)
    log = server.log()
    assert "access_refused" in log
    for name, secret in secrets.items():
        assert secret[:40] not in log, name
