"""Clients that are slow on purpose, hundreds of each kind, all at once: one wait for all of them.

The times are shorter than by default, so that this takes seconds. That each is kept to the
millisecond is shown on virtual time, in tests/unit/infra/http/test_http_time.c."""
import json
import selectors
import socket
import time

import pytest

from attack import JSON, head
from beside import Bystander, PATIENCE_SECONDS, Vitals
from serving import FAST
from shop import add_product

EACH, EACH_UNREAD = 60, 12  # the system keeps megabytes for each of these
DRIP_SECONDS = 0.25
HEADER_MS, BODY_MS, IDLE_MS, STALL_MS, LINGER_MS = 2000, 2500, 3000, 3000, 6000
MIB = 1 << 20
# How many answers they would have had, a stream's head being one.
UNREAD = {"never reads a list": 50, "never reads many answers": 50000, "never reads history": 2}


class Slow:
    """One connection: what it sends at first, what it drips after that, whether it ever reads."""

    def __init__(self, kind, server, first, drip=b"", reads=True):
        self.kind, self.drip, self.reads = kind, drip, reads
        self.got, self.closed_at, self.dripped = b"", None, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.began = time.monotonic()
        self.socket.connect((server.host, server.port))
        self.socket.setblocking(False)
        self.rest = first
        self.send()

    def send(self):
        while self.rest:
            try:
                self.rest = self.rest[self.socket.send(self.rest):]
            except BlockingIOError:
                return
            except ConnectionError:
                self.rest = b""  # the answer, if any, is read all the same

    def one_drop(self):
        if self.drip and self.closed_at is None:
            self.rest += self.drip[self.dripped % len(self.drip):][:1]
            self.dripped += 1
            self.send()

    def receive(self):
        try:
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            piece = b""
        self.got += piece
        if not piece:
            self.closed_at = time.monotonic()

    def answers_that_came(self):
        """Reads what the system still has, up to the end of the connection."""
        mark, n, tail = b"HTTP/1.1 200", 0, b""
        self.socket.settimeout(PATIENCE_SECONDS)
        try:
            while piece := self.socket.recv(65536):
                piece = tail + piece
                n += piece.count(mark)
                tail = piece[1 - len(mark):]
        except ConnectionError:
            pass
        assert not tail.endswith(b"0\r\n\r\n"), "a stream that was ended in an orderly way"
        return n

    def seconds(self):
        return self.closed_at - self.began

    def statuses(self):
        return [int(part[:3]) for part in self.got.split(b"HTTP/1.1 ")[1:]]

    def code(self):
        return json.loads(self.got.rsplit(b"\r\n\r\n", 1)[1])["code"]


@pytest.fixture(scope="module")
def patient(start_once):
    return start_once(*FAST, "--set=log.audit=false", f"--set=http.header_time_ms={HEADER_MS}",
                      f"--set=http.body_time_ms={BODY_MS}", "--set=http.body_rate_min=1000",
                      f"--set=http.idle_time_ms={IDLE_MS}", f"--set=http.write_stall_ms={STALL_MS}",
                      f"--set=http.linger_time_ms={LINGER_MS}")


def post(*fields):
    return head("POST /carts HTTP/1.1", JSON, *fields).encode()


# kind: (first, drip, reads, statuses, code, at least so many seconds)
def kinds(list_path):
    get = head("GET /livez HTTP/1.1").encode()
    long_list = head(f"GET {list_path} HTTP/1.1").encode()
    body = post(f"Content-Length: {MIB}")
    chunked = post("Transfer-Encoding: chunked")
    header, in_body, idle = HEADER_MS / 1000, BODY_MS / 1000, IDLE_MS / 1000
    return {
        "says nothing": (b"", b"", True, [], None, idle),
        "asked once": (get, b"", True, [200], None, idle),
        "sends empty lines": (b"\r\n\r\n", b"", True, [], None, idle),
        "stops in the line": (b"GET /li", b"", True, [408], "request_timeout", header),
        "stops in the head": (get[:-2], b"", True, [408], "request_timeout", header),
        "drips a head": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"s", True, [408],
                         "request_timeout", header),
        "drips fields": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n", True, [408],
                         "request_timeout", header),
        "asks, then drips": (get + b"GET /livez HTTP/1.1\r\nX: ", b"s", True, [200, 408],
                             "request_timeout", header),
        "announces a body": (body, b"", True, [408], "request_timeout", in_body),
        "stops in the body": (body + b"{" + b" " * 500, b"", True, [408], "request_timeout",
                              in_body),
        "drips a body": (body, b" ", True, [408], "request_timeout", in_body),
        "announces chunks": (chunked, b"", True, [408], "request_timeout", in_body),
        "drips chunks": (chunked, b"1\r\n \r\n", True, [408], "request_timeout", in_body),
        "drips a chunk's extension": (chunked + b"1;", b"x", True, [408], "request_timeout",
                                      in_body),
        "drips trailers": (chunked + b"0\r\nX: ", b"x", True, [408], "request_timeout", in_body),
        "waits for 100, then drips": (post(f"Content-Length: {MIB}", "Expect: 100-continue"), b" ",
                                      True, [100, 408], "request_timeout", in_body),
        "goes on after its last answer": (
            head("POST /nothing HTTP/1.1", "Content-Length: 900000").encode(), b"x", True, [404],
            "not_found", 0),
        "never reads a list": (long_list * UNREAD["never reads a list"], b"", False, None, None,
                               0),
        "never reads many answers": (get * UNREAD["never reads many answers"], b"", False, None,
                                     None, 0),
        "never reads history": (head("GET /events/stream?after=0 HTTP/1.1").encode(), b"", False,
                                None, None, 0),
    }


def run(lines):
    """Until the server has ended every connection."""
    selector = selectors.DefaultSelector()
    for line in lines:
        if line.reads:
            selector.register(line.socket, selectors.EVENT_READ, line)
    deadline = time.monotonic() + PATIENCE_SECONDS
    next_drip = 0
    while any(line.reads and line.closed_at is None for line in lines):
        assert time.monotonic() < deadline, sorted(
            {line.kind for line in lines if line.reads and line.closed_at is None})
        for key, _ in selector.select(timeout=DRIP_SECONDS / 5):
            key.data.receive()
            if key.data.closed_at is not None:
                selector.unregister(key.data.socket)
        if time.monotonic() > next_drip:
            next_drip = time.monotonic() + DRIP_SECONDS
            for line in lines:
                line.one_drop()
                if not line.reads:
                    line.send()
    selector.close()


def test_slow_clients_are_cut_off_as_documented_and_nobody_else_is(patient):
    with patient.client() as client:
        for n in range(250):
            add_product(client, stock=10, description="x" * 1000)
        filler = {f"filler{n}": "x" * 4000 for n in range(60)}
        for n in range(60):  # more than the system takes for a client that does not read
            client.post("/messages/stock.rejected", {
                "messageId": f"filler-{n}",
                "payload": {"orderId": "nobody", "reason": "r", **filler}}).is_(202)
    wanted = kinds("/products?limit=500")
    vitals = Vitals(patient)
    vitals.await_rest()
    with Bystander(patient) as beside:
        descriptors, before = vitals.descriptors(), vitals.resident()
        lines = [Slow(kind, patient, first, drip, reads)
                 for kind, (first, drip, reads, *_) in wanted.items()
                 for _ in range(EACH if reads else EACH_UNREAD)]
        beside.await_rounds(3)
        held = vitals.resident() - before
        try:
            run(lines)
            for line in lines:
                *_, statuses, code, least = wanted[line.kind]
                if statuses is None:
                    continue
                assert line.statuses() == statuses, (line.kind, line.got[-500:])
                assert code is None or line.code() == code, line.kind
                assert line.seconds() >= least, line.kind
            # Those that read nothing have been ended too, far from all that they asked for.
            vitals.await_rest(others=1)
            for line in [line for line in lines if not line.reads]:
                assert line.answers_that_came() < UNREAD[line.kind], line.kind
        finally:
            for line in lines:
                line.socket.close()
        beside.await_rounds(3)
        vitals.await_descriptors(descriptors)
    print(f"held {held / MIB:.1f} MiB for {len(lines)} slow clients")
    assert held < len(lines) * MIB
