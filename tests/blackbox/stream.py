"""A client of server-sent events that shows exactly what came."""
import http.client
import json

from client import Raw


class Frame:
    def __init__(self, text):
        self.comment = self.id = self.event = self.data = None
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "":
                self.comment = value
            else:
                assert name in ("id", "event", "data") and getattr(self, name) is None, text
                setattr(self, name, value)

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def position(self):
        return int(self.id.split(".")[1])


class Stream(Raw):
    """Open until it is closed, or the server ends it."""

    def __init__(self, server, path, headers=None, receive_buffer=None, timeout=20):
        super().__init__(server, timeout=timeout, receive_buffer=receive_buffer)
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]))
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.headers = http.client.HTTPMessage()
        for line in head[1:]:
            name, value = line.split(":", 1)
            self.headers[name] = value.strip()
        self.text = b""
        self.has_ended = False
        assert self.status == 200, self.status
        assert self.headers["Content-Type"] == "text/event-stream"
        self.start = self.headers["Last-Event-ID"]

    def _chunk(self):
        n = int(self._until(b"\r\n"), 16)
        while len(self.buffer) < n + 2:
            assert self._more(), "closed inside a chunk"
        assert self.buffer[n:n + 2] == b"\r\n"
        self.text += self.buffer[:n]
        self.buffer = self.buffer[n + 2:]
        self.has_ended = n == 0

    def frame(self):
        """The next one, comments too; None: the server has ended the stream in an orderly way."""
        while b"\n\n" not in self.text:
            if self.has_ended:
                assert not self.text
                return None
            self._chunk()
        frame, self.text = self.text.split(b"\n\n", 1)
        return Frame(frame.decode())

    def event(self):
        while (frame := self.frame()) is not None:
            if frame.comment is None:
                return frame
        return None

    def take(self, n):
        frames = [self.event() for _ in range(n)]
        assert None not in frames, "the stream has ended"
        return frames

    def upto(self, position):
        """Everything up to this position, which must come."""
        frames = [self.event()]
        while frames[-1].position < position:
            frames.append(self.event())
            assert frames[-1], "the stream has ended"
        return frames

    def rest(self):
        """Everything until the server ends the stream and the connection."""
        frames = []
        while (frame := self.event()) is not None:
            frames.append(frame)
        assert self.is_closed()
        return frames


def positions(frames):
    return [f.position for f in frames]
