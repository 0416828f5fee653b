#!/usr/bin/python3
"""First inputs for the fuzz targets, from which libFuzzer finds others.

usage: make_seeds.py FOLDER        writes FOLDER/TARGET/NAME

tests/fuzz/README.md says how the checked-in corpus was made from these. Each target's head says what
its bytes mean; bytes from 0xf0 on are names of tests/fuzz/rig/shop.h.
"""
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

ADDRESS = ('{"street":"1 Main St","city":"Springfield","stateOrProvince":"IL",'
           '"postalCode":"62701","country":"US"}')
DONE, PENDING, CONFIRMED, CART, CONVERTED, OPEN, PARKED, SHIPMENT, EVENT, CURSOR, SKU, PAYMENT, CREATED = (
    chr(0xf0 + i) for i in range(13))


def raw(text):
    """The first character and the names are single bytes, everything else is UTF-8."""
    return bytes([ord(text[0])]) + b"".join(
        bytes([ord(c)]) if 0xf0 <= ord(c) <= 0xff else c.encode() for c in text[1:])


def route(method, pattern):
    """The two bytes that mean this route, as tests/fuzz/rig/pick_route.c makes them."""
    value = 2166136261
    for byte in f"{method} {pattern}".encode():
        value = (value ^ byte) * 16777619 & 0xffffffff
    return ((value >> 16 ^ value) & 0xffff).to_bytes(2, "big")


def routed(method, pattern, name, text):
    """route(2) name(1) text, of the target query."""
    return route(method, pattern) + bytes([name]) + raw("\0" + text)[1:]


def command(method, pattern, name, text, more=0):
    """route(2) name(1) more(1) text, of the target body."""
    return route(method, pattern) + bytes([name, more]) + raw("\0" + text)[1:]


# ---- one HTTP connection

def connections():
    get = "GET /products HTTP/1.1\r\nHost: a\r\n\r\n"
    cart = '{"customerId":"c"}'
    post = (f"POST /carts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(cart)}\r\n\r\n{cart}")
    chunked = ("POST /carts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
               "Transfer-Encoding: chunked\r\n")
    all_at_once, by_bytes, pieces = "\0\0\0", "\0\1\0", "\0\7\0"
    yield "get", all_at_once + get
    yield "get-by-bytes", by_bytes + get
    yield "get-in-pieces-with-pauses", "\0\5\3" + get
    yield "post", pieces + post
    yield "pipeline", all_at_once + get * 3 + post + get * 3
    yield "pipeline-slow-reader", "\4\0\0" + get.replace("products", "metrics") * 3
    yield "reset-while-writing", "\5\0\0" + get.replace("products", "metrics") * 3
    yield "reset", "\1\0\0" + get + "POST /carts HT"
    yield "silent", "\2\0\0" + get + "GET /x"
    yield "silent-in-body", "\2\0\0" + post[:-5]
    yield "shut-in-body", all_at_once + post[:-5]
    yield "shut-in-head", all_at_once + get[:-5]
    yield "late", "\x0a\0\0" + post[:-5]
    yield "chunked", pieces + chunked + "\r\n5;a=b\r\n" + cart[:5] + "\r\nD\r\n" + cart[5:] + "\r\n0\r\nT: x\r\n\r\n"
    yield "chunk-odd", all_at_once + chunked + "\r\nxyz\r\n"
    yield "chunk-extension-long", all_at_once + chunked + "\r\n5;" + "e" * 40 + "\r\n"
    yield "trailers-long", all_at_once + chunked + "\r\n0\r\nT: " + "x" * 80 + "\r\n\r\n"
    yield "chunks-too-much", all_at_once + chunked + "\r\n401\r\n" + "x" * 0x401 + "\r\n0\r\n\r\n"
    yield "both-lengths", all_at_once + chunked + "Content-Length: 3\r\n\r\nabc"
    yield "two-codings", all_at_once + chunked.replace("chunked", "gzip, chunked") + "\r\n"
    yield "unknown-coding", all_at_once + chunked.replace("chunked", "gzip") + "\r\n"
    yield "expect", pieces + post.replace("Host: a\r\n", "Host: a\r\nExpect: 100-continue\r\n")
    yield "expect-else", all_at_once + get.replace("Host: a\r\n", "Host: a\r\nExpect: 200-ok\r\n")
    yield "too-large", all_at_once + "POST /carts HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + "x" * 200
    yield "too-large-expected", all_at_once + "POST /carts HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n"
    yield "bad-length", all_at_once + "POST /carts HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nx"
    yield "unwanted-body", all_at_once + "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde" + get
    yield "unwanted-large-body", all_at_once + "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + "x" * 500
    yield "unwanted-chunks", all_at_once + chunked.replace("/carts", "/no") + "\r\n5\r\nabcde\r\n0\r\n\r\n" + get
    yield "old", all_at_once + "GET /products HTTP/1.0\r\n\r\n"
    yield "old-keep-alive", all_at_once + "GET /products HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2
    yield "new", all_at_once + "GET / HTTP/2.0\r\n\r\n"
    yield "close", all_at_once + get.replace("Host: a\r\n", "Host: a\r\nConnection: close\r\n") + get
    yield "no-host", all_at_once + "GET / HTTP/1.1\r\n\r\n"
    yield "two-hosts", all_at_once + "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    yield "hosts", all_at_once + "".join(f"GET / HTTP/1.1\r\nHost: {h}\r\n\r\n" for h in ("[::1]:80", "a.b-c:1", "127.0.0.1"))
    yield "absolute", all_at_once + "GET http://b:80/products?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "options", all_at_once + "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS /orders HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "head-of-stream", all_at_once + "HEAD /events/stream HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "head", all_at_once + "HEAD /products HTTP/1.1\r\nHost: a\r\n\r\n" + get
    yield "methods", all_at_once + "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "connect", all_at_once + "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "trace", all_at_once + "TRACE / HTTP/1.1\r\nHost: a\r\n\r\nDELETE / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "empty-lines", all_at_once + "\r\n" * 3 + get + "\r\n" * 6
    yield "line-long", all_at_once + "GET /" + "x" * 300 + " HTTP/1.1\r\n"
    yield "head-long", all_at_once + "GET / HTTP/1.1\r\nHost: a\r\nX: " + "x" * 600 + "\r\n\r\n"
    yield "fields-many", all_at_once + "GET / HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * 14 + "\r\n"
    yield "folded", all_at_once + "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"
    yield "stream", "\x09\0\0GET /events/stream?after=0 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "stream-half-gone", "\x08\0\0GET /messages/stream?after=0 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "stream-old", "\x09\0\0GET /events/stream HTTP/1.0\r\nHost: a\r\n\r\n"
    yield "stream-slow", "\x0e\0\0GET /events/stream?after=0 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "stream-behind", "\1\0\0" + get + "GET /messages/stream?after=0 HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "wait", "\x08\0\0GET /orders/" + PENDING + "?until=CANCELLED&wait=5s HTTP/1.1\r\nHost: a\r\n\r\n" + get
    yield "wait-gone", "\1\0\0GET /orders/" + PENDING + "?until=CANCELLED&wait=5s HTTP/1.1\r\nHost: a\r\n\r\n"


# ---- bodies

def bodies():
    items = '"items":[{"sku":"WIDGET-001","quantity":2,"unitPrice":19.99},{"productId":"sold-out","quantity":1,"currency":"JPY"}]'
    order = '{"customerId":"customer-1",%s,"shippingAddress":' + ADDRESS + ',"currency":"USD","flow":"pay_first"}'
    bodies_of = {
        ("POST", "/carts"): ['{"customerId":"customer-1"}', '{"customerId":null}', '{'],
        ("POST", "/carts/{id}/items"): ['{"productId":"WIDGET-001","quantity":2}', '{"sku":"SOLD-OUT","quantity":1}', '{"sku":"no","quantity":0}'],
        ("PUT", "/carts/{id}/items/{productId}"): ['{"quantity":3}', '{"quantity":0}'],
        ("DELETE", "/carts/{id}/items/{productId}"): ['', '{}'],
        ("POST", "/carts/{id}/convert"): ['', '{}'],
        ("POST", "/orders/checkout"): ['{"cartId":"' + CART + '","shippingAddress":' + ADDRESS + '}', '{"cartId":"' + CONVERTED + '","shippingAddress":{}}'],
        ("POST", "/orders"): [order % items, order % '"items":[{"sku":"WIDGET-001","quantity":1}]', order % '"items":[]', '[]', '{"customerId":"a","customerId":"b"}'],
        ("POST", "/orders/{id}/pay"): ['{"paymentId":"payment-1"}'],
        ("POST", "/orders/{id}/mark-paid"): ['{"paymentId":"payment-1"}', ''],
        ("POST", "/orders/{id}/cancel"): ['{"reason":"changed my mind \\u00e9\\uD83D\\uDE00"}', '{"reason":""}'],
        ("POST", "/orders/{id}/ready"): ['', '{}'],
        ("POST", "/orders/{id}/complete"): ['{"invoiceId":"inv-1"}', ''],
        ("POST", "/shipments/{id}/dispatch"): ['', '{}'],
        ("POST", "/shipments/{id}/deliver"): ['', '{}'],
        ("POST", "/products"): ['{"sku":"new-1","name":"n","description":"d","price":19.99,"currency":"USD","stockQuantity":5}', '{"sku":"WIDGET-001","name":"n"}', '{"sku":"j","name":"n","price":1.5,"currency":"JPY"}'],
        ("PATCH", "/products/{sku}"): ['{"stockDelta":-3}', '{"price":21.50}', '{"price":null,"name":"x","description":"y"}', '{"stockQuantity":80}', '{"stockDelta":-1000000}'],
        ("POST", "/messages/{topic}"): ['{"messageId":"m","payload":{"orderId":"' + CONFIRMED + '","paymentId":"p-9","approvedAmount":39.98,"currency":"USD"}}'],
        ("POST", "/dead-letters/retry"): ['{"filter":{"subscription":"payments","topic":"*","state":"parked"},"dryRun":true}', '{"filter":{},"perSecond":5}', '{"filter":{"code":"x","orderId":"","state":"y"}}'],
        ("POST", "/dead-letters/{id}/retry"): ['', '{"payload":{"orderId":"' + CONFIRMED + '","paymentId":"p-9","approvedAmount":39.98,"currency":"USD"}}'],
        ("POST", "/dead-letters/{id}/discard"): ['{"reason":"no","force":true}', '{"reason":"no"}'],
        ("PUT", "/simulators/{name}"): ['{"enabled":true,"mode":"wait","delayMs":{"pay_first":10,"stock_first":100},"failFirst":2}',
                                        '{"enabled":false,"mode":"decline","failureRate":0.5,"poisonRate":0.1,"seed":7,"declineAbove":12.50,"reason":"no"}', '{"mode":"auto"}'],
    }
    for (method, pattern), texts in bodies_of.items():
        for i, text in enumerate(texts):
            name = {"/carts": 3, "/shipments": 7, "/dead-letters": 5}.get("/" + pattern.split("/")[1], 1)
            if pattern.startswith("/products"):
                name = 1
            if pattern.startswith("/simulators"):
                name = i // 2
            label = f"{method}{pattern}".replace("/", "-").replace("{", "").replace("}", "").lower()
            yield f"{label}-{i}", command(method, pattern, name, text)
            for more in (1, 2, 4, 5, 12):
                yield f"{label}-{i}-more-{more}", command(method, pattern, name, text, more)
            for fields in (1, 2, 4, 8):
                if i == 0 and pattern in ("/carts", "/orders", "/products/{sku}", "/orders/{id}/cancel"):
                    yield f"{label}-fields-{fields}", command(method, pattern, name + 16 * fields, text)
    for name in range(13):
        yield f"cancel-{name}", command("POST", "/orders/{id}/cancel", name, '{"reason":"r"}')
        yield f"pay-{name}", command("POST", "/orders/{id}/pay", name, '{"paymentId":"payment-5"}')
    for name, text in {
            "deep": '{"a":' + "[" * 40 + "]" * 40 + "}",
            "escapes": '{"customerId":"\\u0000","\\ud800":1,"a~b/c":[1,{"x":-0.5e3}],"n":123456789012345678901}',
            "keys-many": "{" + ",".join(f'"k{i % 30}":{i}' for i in range(40)) + "}",
            "utf8": '{"customerId":"\u00e9\u2013"}',
            "text-long": '{"customerId":"' + "x" * 4097 + '"}'}.items():
        yield name, command("POST", "/carts", 0, text)
    for name, text in {
            "not-bool": '{"enabled":1,"failureRate":2,"delayMs":3,"declineAbove":-1,"mode":"","seed":1.5}',
            "levels": '{"declineAbove":12.50,"poisonRate":0.25,"failureRate":1}'}.items():
        yield name, command("PUT", "/simulators/{name}", 0, text)


    # What a list of bodies does not say: commands to things in other states, and twice.
    line = '{"customerId":"c","items":[%s],"shippingAddress":' + ADDRESS + '%s}'
    for i, (method, pattern, name, text) in enumerate([
            ("POST", "/carts/{id}/items", 3, '{"productId":"WIDGET-001","quantity":999999}'),
            ("POST", "/carts/{id}/items", 4, '{"productId":"WIDGET-001","quantity":1}'),
            ("PUT", "/carts/{id}/items/{productId}", 4, '{"quantity":1}'),
            ("PUT", "/carts/{id}/items/{productId}", 3, '{"quantity":999999}'),
            ("DELETE", "/carts/{id}/items/{productId}", 3, ''),
            ("DELETE", "/carts/{id}/items/{productId}", 15, ''),
            ("POST", "/carts/{id}/convert", 4, ''),
            ("POST", "/carts/{id}/convert", 15, ''),
            ("POST", "/orders/checkout", 0, '{"cartId":"' + CONVERTED + '","shippingAddress":' + ADDRESS + '}'),
            ("POST", "/orders/checkout", 0, '{"cartId":"nobodys","shippingAddress":' + ADDRESS + '}'),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1,"unitPrice":5}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1,"currency":"JPY"}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1,"currency":"USD"}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1,"currency":"ZZZ"}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1,"unitPrice":1.999}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1}', ',"currency":"ZZZ"')),
            ("POST", "/orders", 0, line % ('{"sku":"WIDGET-001","quantity":1}', ',"currency":"JPY"')),
            ("POST", "/orders", 0, line % ('{"sku":"nobodys","quantity":1}', '')),
            ("POST", "/orders", 0, line % ('{"sku":"nobodys","quantity":1,"unitPrice":2.50}', ',"flow":"stock_first"')),
            ("POST", "/orders", 0, line % (",".join('{"sku":"WIDGET-001","quantity":999999}' for _ in range(3)), '')),
            ("POST", "/orders", 0, line % ('{"sku":"x","quantity":1000000,"unitPrice":90000000000}', ',"flow":"stock_first"')),
            ("POST", "/orders/{id}/ready", 2, ''),
            ("POST", "/orders/{id}/complete", 0, '{"invoiceId":"inv-1"}'),
            ("POST", "/orders/{id}/mark-paid", 1, '{"paymentId":"payment-77"}'),
            ("POST", "/orders/{id}/pay", 1, '{"paymentId":"payment-77"}'),
            ("POST", "/shipments/{id}/deliver", 12, ''),
            ("POST", "/shipments/{id}/dispatch", 12, ''),
            ("POST", "/shipments/{id}/dispatch", 7, ''),
            ("POST", "/shipments/{id}/deliver", 15, ''),
            ("POST", "/products", 0, '{"sku":"k-1","name":"n","currency":"ZZZ"}'),
            ("POST", "/products", 0, '{"sku":"k-1","name":"n","price":1,"currency":"JPY","stockQuantity":0}'),
            ("PATCH", "/products/{sku}", 1, '{"currency":"JPY"}'),
            ("PATCH", "/products/{sku}", 1, '{"currency":"EUR"}'),
            ("PATCH", "/products/{sku}", 1, '{"price":7.00,"currency":"EUR"}'),
            ("PATCH", "/products/{sku}", 1, '{"stockDelta":999999999999}'),
            ("PATCH", "/products/{sku}", 1, '{"stockQuantity":1}'),
            ("PATCH", "/products/{sku}", 1, '{"name":"Widget"}'),
            ("POST", "/dead-letters/retry", 0, '{"filter":{},"perSecond":1}'),
            ("POST", "/dead-letters/retry", 0, '{"filter":{"state":"open"},"perSecond":100}'),
            ("POST", "/dead-letters/{id}/retry", 6, ''),
            ("POST", "/dead-letters/{id}/retry", 6, '{"payload":{"orderId":"nobodys","amount":1,"currency":"USD"}}'),
            ("POST", "/dead-letters/{id}/retry", 5, '{"payload":{"orderId":"nobodys","paymentId":"payment-77","approvedAmount":2,"currency":"USD"}}'),
            ("POST", "/dead-letters/{id}/retry", 5, '{"payload":{"orderId":"nobodys","paymentId":"payment-78","approvedAmount":2,"currency":"USD"}}'),
            ("POST", "/dead-letters/{id}/discard", 6, '{"reason":"no"}'),
            ("POST", "/dead-letters/{id}/discard", 6, '{"reason":"no","force":true}'),
            ("POST", "/dead-letters/{id}/discard", 15, '{"reason":"no"}')]):
        for more in (0, 1, 4, 12):
            yield f"case-{i:02}-{more}", command(method, pattern, name, text, more)
    for i, (name, text) in enumerate([(0x83, '{"productId":"WIDGET-001","quantity":1}'), (0x43, '{'), (0x13, '')]):
        yield f"fields-odd-{i}", command("POST", "/carts/{id}/items", name, text)


# ---- queries, headers, streams, messages

def queries():
    for pattern, texts in {
        "/orders": ["limit=1", "status=CONFIRMED&customerId=customer-1&flow=pay_first&refund=due&unsettledFor=1h", "after=" + CURSOR + "&limit=500", "cursor=" + CURSOR + "&after=" + CURSOR, "status=X&limit=0", "customerId=customer-1&limit=1", "status=PENDING&limit=1&after=" + CURSOR, "unsettledFor=0s&limit=1", "refund=due", "refund=done&flow=stock_first"],
        "/orders/{id}": ["until=SHIPPED&wait=1s", "until=A,B&wait=99d", "wait=500ms", "until=final"],
        "/products": ["limit=1", "after=WIDGET-001", "cursor=%41&limit=501"],
        "/events": ["limit=2", "eventType=OrderPlaced&limit=1", "aggregateId=" + DONE, "orderId=" + DONE + "&correlationId=" + PENDING, "after=3", "after=0123456789abcdef.3&limit=1", "after=ffff.3", "eventType=X&aggregateId=%20", "after=99999999999999999999"],
        "/messages": ["topic=order.*", "topic=*&limit=1", "topic=payment.approved&after=5", "topic=x", "encoding=cloudevents&limit=1", "encoding=json", "encoding=xml", "encoding=cloudevents&topic=stock.rejected", "after=ffff.1"],
        "/dead-letters": ["limit=1", "subscription=payments&state=parked&topic=payment.*&code=handler_failed&orderId=" + CONFIRMED, "after=" + OPEN, "state=open", "topic=*&after=x"],
    }.items():
        for i, text in enumerate(texts):
            yield f"{pattern[1:].replace('/', '-').replace('{id}', 'id')}-{i}", routed("GET", pattern, 0, text)
    for pattern, name in {"/carts/{id}": 3, "/orders/{id}": 1, "/orders/{id}/explain": 6, "/shipments/{id}": 7, "/products/{sku}": 10,
                          "/events/{eventId}": 8, "/dead-letters/{id}": 5, "/simulators/{name}": 15}.items():
        label = pattern[1:].replace("/", "-").replace("{", "").replace("}", "").lower()
        yield f"one-{label}", routed("GET", pattern, name, "payments\n")
        yield f"none-{label}", routed("GET", pattern, 15, "00000000-0000-7000-8000-000000000000\n")
        yield f"odd-{label}", routed("GET", pattern, 15, "x\na=b")
    accepts = ["application/cloudevents-batch+json", "application/cloudevents+json", "text/html", "application/json;q=0.1, application/cloudevents-batch+json",
               "application/cloudevents+json, application/json;q=0", "*/*"]
    for i, text in enumerate(accepts):
        yield f"accept-{i}", routed("GET", "/messages", 0x8f, text + "\nlimit=1")
        yield f"accept-order-{i}", routed("GET", "/orders/{id}", 0x81, text + "\n")
    for i, text in enumerate(['"1"', 'W/"2"', "*", '"8", "3"', '"4"', '"5"', '"6"', '"7"']):
        yield f"none-match-{i}", routed("GET", "/orders/{id}", 0x41, text + "\nwait=1s")
        yield f"none-match-shipment-{i}", routed("GET", "/shipments/{id}", 0x47, text + "\n")
    for how in (0x10, 0x20, 0x30):
        yield f"how-{how}", routed("GET", "/orders/{id}", how + 1, "until=CANCELLED&wait=5s")
        yield f"how-list-{how}", routed("GET", "/events", how, "")
    yield "events-both", routed("GET", "/events", 0, "orderId=" + DONE + "&eventType=OrderPlaced&limit=3")
    yield "events-types", routed("GET", "/events", 0, "eventType=OrderPlaced&eventType=OrderPlaced&limit=3")
    for i, kind in enumerate(("StockReserved", "ProductAdded", "CartCreated", "DeadLetterParked", "PaymentApproved", "ShipmentCreated", "SimulatorsChanged")):
        yield f"events-type-{i}", routed("GET", "/events", 0, "eventType=" + kind + "&limit=3")
    for i, id in enumerate((CART, SHIPMENT, SKU, OPEN, "payments", PAYMENT)):
        yield f"events-aggregate-{i}", routed("GET", "/events", 0, "aggregateId=" + id + "&limit=3")
    yield "orders-total", routed("GET", "/orders", 0, "refund=due&status=SHIPPED&limit=2")
    yield "odd", routed("GET", "/orders", 0, "a=1&&b=%zz&=&%00=%00")
    yield "many", routed("GET", "/orders", 0, "a=1&" * 101)
    yield "twice", routed("GET", "/orders", 0, "limit=1&limit=2&%ff=1&limit=%ff")


KEY_FIELDS = ["Idempotency-Key", "If-Match", "If-None-Match", "X-User-Id", "traceparent", "Content-Type", "Origin",
              "Accept", "Authorization", "Content-Encoding"]


def keys():
    values = {
        "Idempotency-Key": ["first-try", '"a quoted \\"one\\""', "a\nb", "", "x" * 255, "x" * 256, '"open', "a b"],
        "If-Match": ['"1"', 'W/"1", "2"', "*", '"1', "1", ",,"] + ['"1",' * 70],
        "If-None-Match": ['"6"', 'W/"5"', "*", '"a,b", "6"'],
        "X-User-Id": ["me", "x" * 65, "\u00e9"],
        "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "ff-x"],
        "Content-Type": ["application/json", "application/problem+json; charset=UTF-8", 'application/json;charset="latin1"', "text/plain", "application/json; x=\"a;b\""],
        "Origin": ["http://shop.example", "https://a.example:443", "null"],
        "Accept": ["application/json", "text/html, */*;q=0.1", "application/json;q=0", "text/*;q=0.000, application/*", "application/json;q=2"],
        "Authorization": ["Bearer abc", "Basic x", "Bearer"],
        "Content-Encoding": ["gzip", "identity"],
    }
    for i, text in enumerate(["10s", "500ms", "1m", "2h", "1d", "61", "text/event-stream;q=0.25", "a/b, Text/Event-Stream;x=y;Q=x", "text/event-stream;q=9.9999999999", "99999999999999999999s", "1x", "ab.7", "7", "ab.", 'a,"b,c\\"" , ,d']):
        yield f"part-{i}", chr(len(KEY_FIELDS)) + text
    for field, texts in values.items():
        for i, text in enumerate(texts):
            yield f"{field.lower()}-{i}", chr(KEY_FIELDS.index(field)) + text
    for how in (16, 32, 48, 64, 112, 128):
        yield f"try-{how}", chr(how) + "first-try"
    for i, text in enumerate(["Bearer def", "Bearer ghi", "bearer abc", "Bearer abcd", "Bearer abc x"]):
        yield f"token-{i}", chr(KEY_FIELDS.index("Authorization")) + text


def ids():
    for i, (flags, field, query) in enumerate([
            (4, "0123456789abcdef.3", ""), (4, "3", "after=5"), (4, "ffff.1", ""), (4, "x", "topic=y"), (4, "0123456789abcdef.999999", ""),
            (0, "", "after=0"), (1, "", "after=0&topic=order.*"), (2, "", "eventType=OrderPlaced"), (3, "", "topic=*"),
            (8, "", ""), (9, "", "after=2"), (16, "", ""), (18, "", "orderId=" + CONFIRMED + "&after=0"), (17, "", "topic=payment.approved&after=0"),
            (0x20, "", "after=0"), (0x22, "", ""), (0x32, "", "after=0"), (0x23, "", "after=0"), (0x24, "1", ""),
            (0x40, "", "after=0"), (0x81, "", "after=0"), (0xc2, "", ""), (0xa0, "", "after=0"), (0x60, "", "after=0"),
            (3, "", "after=0&encoding=cloudevents"), (1, "", "encoding=x"), (4, "1\n", "after=1"), (0x28, "", "after=0"), (0x21, "", "after=0&encoding=cloudevents"),
            (0, "", "orderId=a&correlationId=b"), (0, "", "eventType=X"), (6, "5", "aggregateId=" + DONE)]):
        for more in (0, 1, 2, 3, 4, 8, 16):
            yield f"{i:02}-{more}", chr(flags) + chr(more) + field + "\n" + query


MESSAGE_TOPICS = ["payment.approved", "payment.processed", "payment.declined", "payment.failed", "payment.refunded",
                  "stock.reserved", "inventory.reserved", "stock.rejected", "inventory.reservation_failed",
                  "stock.released", "inventory.released", "shipment.created", "shipment.dispatched",
                  "shipment.delivered", "shipment.cancelled", "order.placed", "payment.nothing"]


def proto(*fields):
    """Bytes of protobuf: (number, value); a number is a varint, what else is bytes has its length."""
    def varint(n):
        n &= (1 << 64) - 1
        low = b""
        while n > 0x7f:
            low += bytes([n & 0x7f | 0x80])
            n >>= 7
        return low + bytes([n])

    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def proto_messages():
    """What a broker hands over in protobuf: whole events, and the fields of a message alone."""
    order = "0199a1f3-0000-7000-8000-000000000001"
    stock = proto((1, "WIDGET-001"), (2, "WIDGET-001"), (3, 2))
    line = proto((1, "A"), (2, "A"), (3, "n"), (4, "d"), (5, -3), (6, "19.99"), (7, "0.00"))
    address = proto(*((i, text) for i, text in enumerate(("1 Main St", "", "X", "IL", "62701", "US", "ring"), 1)))
    time = proto((1, 1795176000), (2, 120000000))
    declined = proto((1, order), (3, "p-1"), (4, "r"), (5, time))
    alone = [
        ("PaymentDeclined", "payment.declined", declined),
        ("PaymentApproved", "payment.approved", proto((1, order), (3, "p-1"), (4, "39.98"), (5, "USD"), (6, time))),
        ("PaymentApproved", "shop.payment.approved", proto((1, order), (3, "p-1"), (4, "1e3"), (5, "USD"))),
        ("StockReserved", "stock.reserved", proto((1, order), (3, "r-1"), (4, stock), (4, stock), (4, b""))),
        ("ShipmentCreated", "shipment.created", proto((1, order), (3, order), (4, "T"), (99, "later"))),
        ("ShipmentDispatched", "shipment.dispatched", proto((1, order), (3, order), (4, time))),
        ("ShipmentDispatched", "shipment.dispatched", proto((1, order), (4, proto((1, 253402300800))))),
        ("ShipmentDispatched", "shipment.dispatched", proto((1, order), (4, proto((1, 1), (2, -1))))),
        ("OrderPlaced", "order.placed", proto((1, order), (2, "pay_first"), (3, "c"), (5, line), (6, "-1"), (6, "007"), (7, proto((1, "C"), (3, "1.5."))),
                                              (8, "59.97"), (9, "USD"), (10, address), (11, time), (12, time))),
        ("OrderCancelled", "order.cancelled", proto((1, order), (3, "r"), (4, "PAID"), (5, proto((1, "p"), (2, "00.5"), (3, "USD"))), (6, proto((1, "r-1"))))),
        ("PaymentDeclined", "payment.declined", proto((1, order), (4, b"\xff"))),
        ("PaymentDeclined", "payment.declined", b"\x0a\x7fx"),
        ("Nothing", "payment.declined", b""),
    ]
    for i, (name, topic, data) in enumerate(alone):
        yield f"proto-data-{i}", bytes([200, 0x47]) + f"{name}\n{topic}\n".encode() + data
    head = [(1, "e-1"), (2, "/s"), (3, "1.0"), (4, "payment.declined")]
    data = (8, proto((1, "type.googleapis.com/orderly.v1.PaymentDeclined"), (2, declined)))
    text = (7, '{"orderId":"' + order + '","reason":"r"}')
    extras = [(5, proto((1, name), (2, proto(value)))) for name, value in (
        ("subject", (3, "x")), ("x1", (2, -7)), ("x2", (1, 1)), ("x3", (1, 0)), ("dataschema", (5, "https://a.b/c")), ("x4", (6, "/r")), ("time", (7, time)), ("x5", (4, b"\0")))]
    whole = [head + [data], head + extras + [data], head + [text], head + [(6, text[1])], head, head[1:] + [text], head + [(5, proto((1, "x"))), text],
             head + [(5, proto((1, "time"), (2, proto((7, proto((2, -1))))))), text], head + [(5, proto((1, "x"), (2, proto((3, b"\xff"))))), text],
             [(1, b"\xff")] + head[1:] + [text], head + extras * 4 + [data], head + [(8, proto((1, "x/y"), (2, declined)))], head + [(7, "{")], head + [(7, "[]")],
             head[:3] + [(4, "order.placed"), data], head + [(8, b"")]]
    for i, fields in enumerate(whole):
        yield f"proto-{i}", bytes([200, 0x42]) + proto(*fields)
    yield "proto-cut", bytes([200, 0x42]) + proto(*head)[:-3]
    yield "proto-by-name", bytes([200, 0x40]) + b"\n\napplication/cloudevents+protobuf\n\n" + proto(*whole[1])


def messages():
    fields = {
        "payment": '"paymentId":"payment-77","amount":39.98,"approvedAmount":39.98,"currency":"USD","reason":"r"',
        "stock": '"reservationId":"r-1","reason":"r","items":[{"productId":"WIDGET-001","quantity":1}]',
        "inventory": '"reservationId":"r-1","reason":"r"',
        "shipment": '"shipmentId":"' + SHIPMENT + '","trackingNumber":"T","dispatchedAt":"2026-11-20T12:00:00Z"',
        "order": "",
    }
    for i, topic in enumerate(MESSAGE_TOPICS):
        for name, order in (("done", DONE), ("pending", PENDING), ("confirmed", CONFIRMED)):
            if name == "confirmed":
                for mode in (3, 5, 7):
                    yield f"{topic}-{mode}", bytes([i, mode]) + raw(
                        "\0" + ("x\n" if mode == 7 else "") + '{"orderId":"' + order + '",' + fields[topic.split(".")[0]] + '}')[1:]
            yield f"{topic}-{name}", chr(i) + "\1" + '{"orderId":"' + order + '",' + fields[topic.split(".")[0]] + ',"more":[1.50,null,"\\u00e9"]}'
    event = ('{"specversion":"1.0","id":"%s","source":"/s","type":"payment.declined","subject":"x","correlationid":"' + PENDING
             + '","time":"2026-11-20T12:00:00Z","datacontenttype":"application/json","data":{"orderId":"' + PENDING + '","reason":"r"}}')
    yield "cloud", bytes([0, 2]) + raw("\0" + event.replace("%s", "e-1"))[1:]
    yield "cloud-batch", bytes([0, 4]) + raw("\0[" + event.replace("%s", "e-1") + "," + event.replace("%s", "e-2") + "]")[1:]
    yield "cloud-batch-odd", bytes([0, 4]) + raw("\0[" + event.replace("1.0", "0.3") + ',7,{"id":"","type":"x","data_base64":"eA=="}]')[1:]
    yield "cloud-batch-empty", bytes([0, 4]) + b"[]"
    yield "cloud-odd", bytes([0, 2]) + b'{"specversion":1,"id":"a b","source":"","type":"order.placed","data":[],"time":"never","datacontenttype":"text/plain"}'
    yield "cloud-binary-odd", bytes([0, 6]) + b"%zz\n{}"
    in_base64 = event.replace('"data":{', '"data_base64":"eyJvcmRlcklkIjoiZWxzZXdoZXJlIiwicmVhc29uIjoibm8ifQ==","x":{')
    in_base64 = in_base64[:in_base64.index(',"x":{')].replace('"correlationid":"' + PENDING + '",', "") + "}"
    for i, text in enumerate((in_base64, in_base64.replace('"datacontenttype":"application/json",', ""), in_base64.replace("application/json", "text/json;charset=utf-8"),
                              in_base64.replace("eyJv", "eyJ"), in_base64.replace("eyJvcmRlcklkIjoiZWxzZXdoZXJlIiwicmVhc29uIjoibm8ifQ==", "W10="), in_base64[:-1] + ',"data":{}}')):
        yield f"cloud-base64-{i}", bytes([0, 2]) + raw("\0" + text.replace("%s", "e-1"))[1:]
    bare = event.replace("%s", "e-1").replace(PENDING, "o-1")
    yield "broker-bare", bytes([200, 0x40]) + b"payment.declined\n\n\n\n" + bare.encode()
    yield "broker-bare-else", bytes([200, 0x40]) + b"\n\ntext/json\n\n" + bare.replace('"data"', '"payload"').encode()
    yield "broker-data-type", bytes([200, 0x40]) + b"\n\n\nspecversion:1.0\nid:e-1\nsource:/s\ntype:payment.declined\ndatacontenttype:text/json\n\n" + b'{"orderId":"o-1","reason":"r"}'
    payload = '{"orderId":"' + PENDING + '","reason":"r"}'
    names = "specversion: 1.0\nid: e-1\nsource: %s\ntype: %s\n"
    for i, (flags, name, kind, more) in enumerate([
            (0x16, "/s", "shop.payment.declined", "subject: Euro%20%E2%82%AC\n"), (0x16, "/s", "payment.declined", "dataschema: https://a.b/c\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n"),
            (0x1e, "urn:x", "payment.declined", "time: 2026-11-20T12:00:00.5+01:00\n"), (0x1e, "http://[::1]:80/a?b=%41#c", "payment.approved", "x1: 7\ncorrelationid: y\n"),
            (0x16, "http://a@b:x/", "payment.declined", "datacontenttype: text/plain\n"), (0x16, "a b", "shop.", "subject: %\nsubject: %ff\ndataschema: %zz\n"),
            (0x16, "%2", "order.placed", "id: e-2\nA-B: x\ndata: y\ndata_base64: z\n"), (0x16, "http://[x]/", "payment.declined", "time: never\npartitionkey: \ntraceparent: x\n"),
            (0x16, "x" * 300, "payment.declined", "more: " + "x" * 4200 + "\n"), (0x16, "1:x", "payment.declined", "dataschema: a:b%4\n")]):
        yield f"cloud-binary-{i}", bytes([2, flags]) + raw("\0" + names % (name, kind) + more + "\n" + payload)[1:]
    more = '"dataschema":"https://a.b/c","partitionkey":"k","x1":7,"x2":-2147483648,"x3":true,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'
    odd = '"dataschema":"%","x1":2147483648,"x2":1.5,"x3":[],"x-4":"y","x5":null,"subject":"","data_base64":"eA==","time":"2026-02-30T00:00:00Z","x6":"' + "x" * 4200 + '"'
    for i, (flags, text) in enumerate([
            (2, event.replace("%s", "e-1").replace('"subject"', more + ',"subject"')), (2, event.replace("%s", "e-1").replace('"time"', odd + ',"t"')),
            (10, event.replace("%s", "e-1")), (10, event.replace("%s", "e-1").replace("payment.declined", "shop.payment.declined")),
            (2, event.replace("%s", "e-1").replace('"correlationid":"' + PENDING, '"correlationid":"x')),
            (4, "[" + event.replace("%s", "e-1") + "," + event.replace("%s", "e-1").replace('"reason":"r"', '"reason":"s"') + "]"),
            (4, "[" + event.replace("%s", "e-1") + "," + event.replace("%s", "e-1") + "]"),
            (4, "[" + event.replace("%s", "m-1") + "," + event.replace("%s", "e-3") + "," + event.replace("%s", "e-3").replace("/s", "/t") + "]"),
            (12, "[" + event.replace("%s", "e-1") + "]")]):
        yield f"cloud-case-{i}", bytes([2, flags]) + raw("\0" + text)[1:]
    for i, text in enumerate(['"orderId":"%s","orderId":"x"', '"orderId":"%s","paymentId":"p","approvedAmount":1.999,"currency":"ZZZ"', '"orderId":"%s","paymentId":"payment-77","approvedAmount":39.98,"currency":"USD"',
                              '"orderId":"%s","paymentId":"p","approvedAmount":5,"currency":"JPY"', ",".join(f'"k{i % 40}":{i}' for i in range(50)) + ',"orderId":"%s"']):
        for name, order in (("pending", PENDING), ("confirmed", CONFIRMED), ("done", DONE)):
            yield f"payment-case-{i}-{name}", b"\0\1" + raw("\0{" + text % order + "}")[1:]
    yield "refund-odd", b"\4\1" + raw('\0{"orderId":"' + CONFIRMED + '","paymentId":"p","amount":1.999,"currency":"USD"}')[1:]
    yield "repeat-other", b"\0\0" + raw('\0{"messageId":"m-1","payload":{"orderId":"x","paymentId":"y","approvedAmount":1,"currency":"USD"}}')[1:]
    for which, name in ((12, CREATED), (13, CREATED), (14, CREATED), (12, SHIPMENT), (14, SHIPMENT), (13, SHIPMENT)):
        yield f"shipment-{which}-{ord(name)}", bytes([which, 1]) + raw('\0{"orderId":"' + DONE + '","shipmentId":"' + name + '","trackingNumber":"T"}')[1:]
    with open(os.path.join(ROOT, "tests/golden/cloud_events.txt"), encoding="utf-8") as file:
        for i, line in enumerate(file):
            data = json.loads(line)["data"]
            odd = dict.fromkeys(data, "")
            for name, value in (("good", data), ("odd", odd), ("less", dict(list(data.items())[2:])),
                                ("null", {key: None if key.endswith(("Id", "ed")) else value for key, value in data.items()}),
                                ("currency", dict(data, currency="JPY"))):
                yield f"read-{i:02}-{name}", bytes([i, 32]) + json.dumps(value, ensure_ascii=False).encode()
    said = "payment.declined\nm-7\napplication/json\n\n" + payload
    attributes = "specversion:1.0\nid:e-1\nsource:/s\ntype:payment.declined\n\n"
    for i, (most, flags, text) in enumerate([
            (200, 0x40, said.replace('{"o', '{"payload":{"o') + "}"), (200, 0x48, said), (200, 0x41, said.replace("payment.declined", "order.paid")),
            (200, 0x40, said.replace("payment.declined", "order.paid")), (9, 0x40, said.replace("payment.declined", "x")), (200, 0x40, said.replace("/json", "/xml")),
            (200, 0x40, said[:-1]), (200, 0x40, "\n\n\n\n" + '{"messageId":"m-8","topic":"payment.declined","payload":' + payload + "}"),
            (200, 0x40, "\n\napplication/cloudevents+json\n\n" + event.replace("%s", "e-1")), (200, 0x40, "\n\napplication/cloudevents-batch+json\n\n[]"),
            (200, 0x40, "payment.declined\n\n\nce-" + attributes.replace("\n", "\nce-", 3) + payload), (200, 0x40, "\n\ntext/x-lines\n\n" + attributes + payload),
            (200, 0x40, "\n\ntext/x-lines\n\n\n"), (40, 0x40, "\n\n\n\n" + '{"a\\nb\u00e9":1,"a\\nb\u00e9":2,"payload":7}'), (30, 0x40, "payment.declined\nno id\n\n\n{}"),
            (200, 0x40, "\n\ntext/x-lines\n\n" + attributes.replace("payment.declined", "shop.order.paid") + payload),
            (200, 0x40, "stock.released\n\ntext/x-lines\n\n" + attributes + payload)]):
        yield f"broker-{i}", bytes([most, flags]) + raw("\0" + text)[1:]
    yield from proto_messages()
    yield "sku-two", b"\5\1" + raw('\0{"orderId":"' + PENDING + '","reservationId":"r","items":[{"sku":"A","productId":"A","quantity":1}]}')[1:]
    yield "envelope", "\0\0" + ('{"messageId":"prov-77","topic":"payment.approved","correlationId":"' + CONFIRMED
                                + '","timestamp":"2026-11-20T12:00:05.123+01:00","payload":{"orderId":"' + CONFIRMED
                                + '","paymentId":"payment-78","approvedAmount":39.98,"currency":"USD","timestamp":"2026-11-20T12:00:05Z"},"x":1}')
    yield "contradicts", "\0\0" + '{"messageId":"m","topic":"x","correlationId":"y","timestamp":"never","payload":{"orderId":"z"}}'
    yield "flow", "\3\1" + '{"orderId":"' + PENDING + '","flow":"pay_first","reason":"r","items":[{"sku":"a","productId":"b","quantity":1}],"amount":"x"}'
    yield "items", "\5\1" + '{"orderId":"' + PENDING + '","reservationId":"r","items":[{"sku":"a","productId":"b","quantity":1},{"quantity":0},7]}'
    yield "times", "\x0c\1" + '{"orderId":"' + PENDING + '","shipmentId":"s","dispatchedAt":"never","deliveredAt":7}'
    yield "amount", "\0\1" + '{"orderId":"' + PENDING + '","paymentId":"p","approvedAmount":1.999,"currency":"USD"}'
    yield "amount-without-currency", "\4\1" + '{"orderId":"' + PENDING + '","paymentId":"p","amount":1.999}'
    yield "nobodys", "\0\1" + '{"orderId":"nobodys","paymentId":"payment-78","approvedAmount":1e3,"currency":"JPY"}'
    yield "no-json", "\0\0{"


# ---- rows, configuration

def rows():
    with open(os.path.join(ROOT, "tests/golden/events.txt"), encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                name, text = line.split()[:2]
                yield "event-" + name, b"\0" + bytes.fromhex(text)
    yield "inbox", b"\x0c\x81\1\3r-1\0\0\1" + b"\0" * 7 + b"\5"
    letter = bytes([2, 3, 0]) + bytes(range(32)) + b"\0\x12" + b"\0" * 7 + b"\7" + b"\0\0\0\5" + b"\0" * 33
    yield "letter", b"\x09" + letter + b"\0\0\0\1x\0\0\0\2no"
    yield "letter-of-nobody", b"\x09" + letter.replace(b"\2\3", b"\2\xff") + b"\0" * 8
    for which in range(8):
        yield f"own-key-{which}", bytes([14, which, 3]) + bytes(range(24)) + b"customer-1"


def configs():
    yield "arguments", "\x44--listen=127.0.0.1:0\n--demo\n--set\npayment.timeout=15m"
    yield "variables", "\x58LISTEN=[::1]:80\nDRAIN=5s\nLOG_LEVEL=debug"
    yield "file", "\0# comment\nlisten = \"a:1\" # more\nsimulators.payments.mode = wait\r\ndata = /x\n\nlisten = b:2\nx\nliste = 1\nconfig = y"
    yield "help", "\x41--help"
    yield "odd", "\x47x\n--\n--liste\n--set\n--drain\n--set=listen\n--set=x=1"
    with open(os.path.join(ROOT, "src/infra/options/table.c"), encoding="utf-8") as file:
        keys = re.findall(r'^ *(?:\{ )?(?:OPTION\w*\()?"([a-z][A-Za-z._-]+)"', file.read(), re.M)
    for value in ("1", "0", "10s", "5m", "12.50", "64MiB", "0.5", "10%", "true", "off", "USD", "x,y", "https://a:1", ""):
        yield "all-" + (re.sub(r"\W", "_", value) or "empty"), "\0" + "\n".join(f"{key} = {value}" for key in dict.fromkeys(keys))
    yield "tokens", "\x80# roles\ncustomer abc me\noperator def\ncontext ghi x#\n--\nBearer abc\nBearer def\nbearer  ghi\nBasic abc\nhttp://a\nhttps://b:1"
    yield "tokens-odd", "\x80nobody abc"
    yield "tokens-none", "\x80# nothing\n--\nBearer x"
    yield "tokens-name", "\x80customer abc \x01"
    for i, urls in enumerate(["nats://127.0.0.1:4222", "kafka://a:9092,b:9093,amqps://me@h/shop,tls://[::1]:4222", "nats://a,nats://b", "x://a, ,nats", "nats://u:p@h",
                              "nats://@h", "nats://", "kafka://a,,b", "amqp://h:0/v", "nats://h/x", "nats://[::1", "nats://a:99999", "kafka+tls://a b"]):
        yield f"relay-{i}", "\x42--relay=" + urls + "\n--demo"
    for i, text in enumerate(["url = nats://a\nNtopics = order.placed, payment.*,,*\nNgroup = g-1\nNuser = u\nNpassword_file = /x\nNtoken_file = /y", "url = kafka://a\nNtopics = nothing",
                              "url = nats://a\nNtopics = ,\nNchannel = a b\nNgroup = a.b", "url = amqp://a/v\nNtls_ca = /x\nNmode = structured\nNencoding = cloudevents\nNdeclare = true"]):
        for name in ("nats", "kafka", "rabbitmq"):
            yield f"relay-file-{i}-{name}", "\0" + ("N" + text).replace("N", f"relay.{name}.")
    yield "tokens-origin", "\x80operator abc\n--\nhttp://a:80\nhttps://a\nhttp://a:8080\nftp://a\nhttp://[::1]:1\nnull"
    yield "addresses", "\0" + "\n".join(f"{key} = {value}" for key in ("cloudevents.source", "listen", "origins") for value in (
        "http://u@h:1/p?q=%41#f", "urn:a:b", "http://[::1", "http://[v1.x]/", "1a:b", "a b", "%zz", "http://h:x/", "//h", "?", "\u00e9", "\u20ac", "\U0001f600", "\xed\xa0\x80"))
    yield "tokens-many", "\x80" + "customer a\n" * 65


TARGETS = {"connection": connections, "body": bodies, "query": queries, "key": keys, "last_event_id": ids,
           "messages": messages, "rows": rows, "config": configs}


def main(folder):
    for target, make in TARGETS.items():
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        for name, content in make():
            if isinstance(content, str):
                content = raw(content)
            with open(os.path.join(folder, target, name), "wb") as file:
                file.write(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
