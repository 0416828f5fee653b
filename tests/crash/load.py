"""Many clients in one process: keep-alive connections with several requests outstanding on each.

A client is a generator: it yields a Request and gets an Answer. When the server goes, whatever is
outstanding is in the air: nobody knows whether it was done.
"""
import collections
import re
import selectors
import socket
import time

import server  # noqa: F401  (finds the client)
from client import Answer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEADER = re.compile(r"^([^:]+): *(.*?) *$", re.MULTILINE)


class Request:
    __slots__ = ("method", "path", "body", "key", "what")

    def __init__(self, method, path, body=None, key=None, what=None):
        """what: whatever the client wants to know about it later."""
        self.method, self.path, self.body, self.key, self.what = method, path, body, key, what

    def bytes(self):
        body = self.body or b""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.key:
            head += f"Idempotency-Key: {self.key}\r\n"
        if self.body is not None:
            head += "Content-Type: application/json\r\n"
        if self.method != "GET":
            head += f"Content-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


class Headers(dict):
    def __getitem__(self, name):
        return self.get(name.lower())


class _Connection:
    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = b""
        self.unsent = b""
        self.queued = self.sent = 0  # bytes so far
        self.outstanding = collections.deque()  # (client, request, its first byte)

    def take(self):
        """The next whole answer, or None."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = int(_LENGTH.search(self.buffer, 0, end + 2).group(1))
        whole = end + 4 + length
        if len(self.buffer) < whole:
            return None
        head, body = self.buffer[:end].decode("latin-1"), self.buffer[end + 4:whole]
        self.buffer = self.buffer[whole:]
        first, _, rest = head.partition("\r\n")
        headers = Headers((n.lower(), v) for n, v in _HEADER.findall(rest.replace("\r", "")))
        return Answer(int(first[9:12]), headers, body)


class Load:
    """Runs clients against a server until it is told to stop, or the server is gone."""

    def __init__(self, host, port, connections=8):
        self.selector = selectors.DefaultSelector()
        self.connections = [_Connection((host, port)) for _ in range(connections)]
        self.answers = 0
        self.is_gone = False
        for c in self.connections:
            self.selector.register(c.socket, selectors.EVENT_READ, c)

    def add(self, clients):
        """One after the other to the connections."""
        for i, client in enumerate(clients):
            self._next(self.connections[i % len(self.connections)], client, None)

    def _next(self, connection, client, answer):
        try:
            request = client.send(answer)
        except StopIteration:
            return
        data = request.bytes()
        connection.outstanding.append((client, request, connection.queued))
        connection.queued += len(data)
        connection.unsent += data

    def in_the_air(self):
        """Requests that have left here, in part at least, and have no answer."""
        return [r for c in self.connections for _, r, first in c.outstanding if first < c.sent]

    def run(self, until, seconds=60):
        """Until until() is true, nobody has anything more to ask, or the server is gone."""
        deadline = time.monotonic() + seconds
        while not self.is_gone and not until():
            for c in self.connections:
                self._send(c)
            if not any(c.outstanding for c in self.connections):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.in_the_air())} requests are not answered")
            for key, _ in self.selector.select(0.05):
                self._receive(key.data)

    def _send(self, c):
        while c.unsent and not self.is_gone:
            try:
                n = c.socket.send(c.unsent)
            except BlockingIOError:
                return
            except OSError:
                self.is_gone = True
                return
            c.unsent = c.unsent[n:]
            c.sent += n

    def _receive(self, c):
        try:
            piece = c.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.is_gone = True
        c.buffer += piece
        while c.outstanding:
            answer = c.take()
            if answer is None:
                return
            self.answers += 1
            client, _, _ = c.outstanding.popleft()
            self._next(c, client, answer)

    def drain(self):
        """What the server had sent before it went. Asks nothing more."""
        self.is_gone = True
        for c in self.connections:
            c.socket.setblocking(True)
            c.socket.settimeout(5)
            try:
                while piece := c.socket.recv(1 << 18):
                    c.buffer += piece
            except OSError:
                pass
            while c.outstanding and (answer := c.take()):
                self.answers += 1
                client, _, _ = c.outstanding.popleft()
                try:
                    client.send(answer)
                except StopIteration:
                    pass

    def close(self):
        for c in self.connections:
            c.socket.close()
        self.selector.close()


def ask_all(host, port, requests, connections=4, depth=8, seconds=300):
    """Every one of the requests; yields nothing, returns [(request, answer)] in no order."""
    todo, done = iter(requests), []

    def client():
        for request in todo:
            done.append((request, (yield request)))

    load = Load(host, port, connections)
    try:
        load.add(client() for _ in range(connections * depth))
        load.run(lambda: False, seconds)
        if load.is_gone:
            raise ConnectionError("the server is gone")
        return done
    finally:
        load.close()
