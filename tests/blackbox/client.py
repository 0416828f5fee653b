"""A client that says exactly what it sends and gets, over http.client or a bare socket."""
import http.client
import json
import socket
import time


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: case does not matter
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def etag(self):
        return self.headers["ETag"]

    def is_(self, status):
        assert self.status == status, f"{self.status}: {self.body[:2000]!r}"
        return self

    def problem(self, status, code):
        """An RFC 9457 answer with a stable code."""
        self.is_(status)
        assert self.headers["Content-Type"].startswith("application/problem+json")
        body = self.json
        assert body["code"] == code, body
        assert body["status"] == status
        assert body["type"] == f"/problems/{code}"
        assert body["title"]
        assert body["requestId"]
        return body

    def pointers(self):
        """Where the faults are, of a 400."""
        return sorted(e["pointer"] for e in self.problem(400, "validation")["errors"])

    def parameters(self):
        """The query parameters that are wrong, of a 400."""
        return sorted(e["parameter"] for e in self.problem(400, "validation")["errors"])


class Client:
    """One connection, opened again when the server has closed it."""

    def __init__(self, host, port, token=None, headers=None, timeout=20):
        self.host, self.port, self.timeout = host, port, timeout
        self.headers = dict(headers or {})
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def request(self, method, path, body=None, headers=None, raw=None):
        """body is sent as JSON, raw as it is."""
        sent = dict(self.headers)
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port,
                                                             timeout=self.timeout)
            fresh = self.connection.sock is None
            try:
                self.connection.request(method, path, body=raw, headers=sent)
                answer = self.connection.getresponse()
                result = Answer(answer.status, answer.headers, answer.read())
                if answer.will_close:
                    self.close()
                return result
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.request("POST", path, body, **kwargs)

    def put(self, path, body=None, **kwargs):
        return self.request("PUT", path, body, **kwargs)

    def patch(self, path, body=None, **kwargs):
        return self.request("PATCH", path, body, **kwargs)

    def delete(self, path, **kwargs):
        return self.request("DELETE", path, **kwargs)

    def all(self, path):
        """Every item of a list, page by page."""
        items, cursor = [], None
        while True:
            joint = "&" if "?" in path else "?"
            page = self.get(path + (f"{joint}after={cursor}" if cursor else "")).is_(200).json
            items += page["data"]
            cursor = page["nextCursor"]
            if cursor is None:
                return items


class Raw:
    """Bytes as they are, for what a proper client never sends."""

    def __init__(self, server, timeout=10, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((server.host, server.port))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def finish(self):
        """No more comes from here; answers may still come."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def _more(self):
        piece = self.socket.recv(65536)
        self.buffer += piece
        return piece

    def _until(self, mark):
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"closed after {self.buffer[:500]!r}")
        part, self.buffer = self.buffer.split(mark, 1)
        return part

    def answer(self, is_head=False):
        """The next answer on the connection; 100 Continue is one of its own."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        lines = head.split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = http.client.HTTPMessage()
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name] = value.strip()
        length = int(headers.get("Content-Length", 0))
        if is_head or status in (100, 204, 304):
            length = 0
        while len(self.buffer) < length:
            if not self._more():
                raise EOFError("closed inside a body")
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(status, headers, body)

    def is_closed(self, seconds=5):
        """The server ends the connection, and sends nothing more before."""
        self.socket.settimeout(seconds)
        try:
            return self._more() == b"" and not self.buffer
        except ConnectionError:
            return True
        except socket.timeout:
            return False


def eventually(check, seconds=40):
    """Runs check until it asserts nothing and returns no False; then gives what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = check()
            if result is not False:
                return result
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
