"""AMQP 0-9-1 by hand, as much of it as the tests need: a client that sees what no library would show,
and a broker that does what no real one can be brought to do on demand."""
import select
import socket
import struct
import threading

PATIENCE_SECONDS = 60
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
BLOCKED, UNBLOCKED = (10, 60), (10, 61)
CHANNEL_OPEN, CHANNEL_CLOSE = (20, 10), (20, 40)
EXCHANGE_DECLARE, QUEUE_DECLARE, QUEUE_BIND, QUEUE_DELETE = (40, 10), (50, 10), (50, 20), (50, 40)
CONSUME, CANCEL, PUBLISH, RETURN = (60, 20), (60, 30), (60, 40), (60, 50)
CANCEL_OK = (60, 31)
QUEUE_UNBIND = (50, 50)
DELIVER, GET, GET_OK, GET_EMPTY = (60, 60), (60, 70), (60, 71), (60, 72)
QOS, ACK, NACK, CONFIRM = (60, 10), (60, 80), (60, 120), (85, 10)
# Of basic's properties, in the order of their flags.
PROPERTIES = ["content_type", "content_encoding", "headers", "delivery_mode", "priority",
              "correlation_id", "reply_to", "expiration", "message_id", "timestamp", "type"]


def short(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack(">B", len(text)) + text


def long(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(text)) + text


def field(value):
    """(kind, value) for the kinds that Python has no type for."""
    if isinstance(value, tuple):
        kind, value = value
        formats = {"b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q",
                   "T": ">Q", "f": ">f", "d": ">d"}
        if kind == "V":
            return b"V"
        if kind == "D":
            return b"D" + value
        if kind in "Ax":
            return kind.encode() + long(value)
        return kind.encode() + struct.pack(formats[kind], value)
    if isinstance(value, bool):
        return b"t" + bytes([value])
    if isinstance(value, int):
        return field(("l", value))
    if isinstance(value, dict):
        return b"F" + table(value)
    return b"S" + long(value)


def table(entries):
    return long(b"".join(short(k) + field(v) for k, v in entries.items()))


def properties(**given):
    flags, out = 0, b""
    for bit, name in enumerate(PROPERTIES):
        if name not in given:
            continue
        flags |= 1 << (15 - bit)
        value = given[name]
        if name == "headers":
            out += table(value)
        elif name == "timestamp":
            out += struct.pack(">Q", value)
        elif name in ("delivery_mode", "priority"):
            out += bytes([value])
        else:
            out += short(value)
    return struct.pack(">H", flags) + out


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert len(self.data) >= n
        piece, self.data = self.data[:n], self.data[n:]
        return piece

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def short(self):
        return self.take(self.number(1)).decode()

    def table(self):
        inner, out = Reader(self.take(self.number(4))), {}
        while inner.data:
            name, kind = inner.short(), inner.take(1)
            if kind == b"F":
                out[name] = inner.table()
            elif kind == b"t":
                out[name] = bool(inner.number(1))
            else:
                assert kind == b"S", (name, kind)
                out[name] = inner.take(inner.number(4)).decode()
        return out

    def properties(self):
        flags, out = self.number(2), {}
        for bit, name in enumerate(PROPERTIES):
            if not flags & 1 << (15 - bit):
                continue
            if name == "headers":
                out[name] = self.table()
            elif name == "timestamp":
                out[name] = self.number(8)
            elif name in ("delivery_mode", "priority"):
                out[name] = self.number(1)
            else:
                out[name] = self.short()
        return out


class Peer:
    """One end of a connection, which waits for whatever it reads."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(PATIENCE_SECONDS)

    def bytes(self, n):
        out = b""
        while len(out) < n:
            piece = self.socket.recv(n - len(out))
            if not piece:
                raise EOFError("the other side closed the connection")
            out += piece
        return out

    def frame(self):
        kind, channel, n = struct.unpack(">BHI", self.bytes(7))
        data = self.bytes(n)
        assert self.bytes(1) == b"\xce"
        return kind, channel, data

    def send(self, kind, data, channel=1):
        self.socket.sendall(struct.pack(">BHI", kind, channel, len(data)) + data + b"\xce")

    def say(self, method, arguments=b"", channel=1):
        self.send(METHOD, struct.pack(">HH", *method) + arguments, channel)

    def hear(self, *wanted):
        """The next method, which must be one of those wanted; what is left of it. Passes over
        heartbeats."""
        kind = HEARTBEAT
        while kind == HEARTBEAT:
            kind, _, data = self.frame()
        assert kind == METHOD, kind
        method = struct.unpack(">HH", data[:4])
        assert not wanted or method in wanted, (method, wanted, data)
        return (method, Reader(data[4:])) if len(wanted) != 1 else Reader(data[4:])

    def content(self, body=b"", frame_max=131072, **given):
        self.send(HEADER, struct.pack(">HHQ", 60, 0, len(body)) + properties(**given))
        for at in range(0, len(body), frame_max - 8):
            self.send(BODY, body[at:at + frame_max - 8])

    def hear_content(self):
        """Properties, body, and the sizes of its frames."""
        kind, _, data = self.frame()
        assert kind == HEADER
        reader, body, sizes = Reader(data), b"", []
        assert reader.number(4) == 60 << 16
        size = reader.number(8)
        while len(body) < size:
            kind, _, piece = self.frame()
            assert kind == BODY
            body += piece
            sizes.append(len(piece))
        return reader.properties(), body, sizes

    def hear_publish(self):
        """Exchange, routing key, properties and body of a message."""
        m = self.hear(PUBLISH)
        m.number(2)
        exchange, key, flags = m.short(), m.short(), m.number(1)
        assert flags == 1, "messages are mandatory"
        return (exchange, key, *self.hear_content()[:2])

    def frame_if_any(self):
        """(None, …) where none has begun."""
        ready, _, _ = select.select([self.socket], [], [], 0)
        return self.frame() if ready else (None, None, None)

    def hear_publish_while(self, step):
        """hear_publish on a thread of its own, while step() is called again and again."""
        heard = []
        reader = threading.Thread(target=lambda: heard.append(self.hear_publish()), daemon=True)
        reader.start()
        while reader.is_alive():
            step()
        assert heard, "the adapter did not send it"
        return heard[0]

    def close(self):
        self.socket.close()


class Client(Peer):
    """Of a real broker."""

    def __init__(self, port, frame_max=131072):
        super().__init__(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
        # A message is several small frames, which else wait for each other's acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.hear(START)
        self.say(START_OK, table({}) + short("PLAIN") + long("\0guest\0guest") + short("en_US"), 0)
        self.hear(TUNE)
        self.say(TUNE_OK, struct.pack(">HIH", 1, frame_max, 0), 0)
        self.say(OPEN, short("/") + b"\0\0", 0)
        self.hear(OPEN_OK)
        self.call(CHANNEL_OPEN, b"\0")

    def call(self, method, arguments):
        self.say(method, arguments)
        return self.hear((method[0], method[1] + 1))

    def exchange(self, name):
        """A durable one, of topics."""
        self.call(EXCHANGE_DECLARE, b"\0\0" + short(name) + short("topic") + b"\x02" + table({}))

    def queue(self, name, pattern=None, exchange="orders", arguments=None):
        """A durable queue."""
        self.call(QUEUE_DECLARE, b"\0\0" + short(name) + b"\x02" + table(arguments or {}))
        if pattern:
            self.call(QUEUE_BIND, b"\0\0" + short(name) + short(exchange) + short(pattern) + b"\0" +
                      table({}))

    def bind_anew(self, queue, pattern, exchange):
        arguments = b"\0\0" + short(queue) + short(exchange) + short(pattern)
        self.call(QUEUE_UNBIND, arguments + table({}))
        self.call(QUEUE_BIND, arguments + b"\0" + table({}))

    def delete(self, queue):
        self.call(QUEUE_DELETE, b"\0\0" + short(queue) + b"\0")

    def confirm(self):
        """From now on each message that the broker has is answered with an ACK."""
        self.call(CONFIRM, b"\0")

    def publish(self, key, body, exchange="orders", **given):
        self.say(PUBLISH, b"\0\0" + short(exchange) + short(key) + b"\0")
        self.content(body, **given)

    def get(self, queue):
        """Routing key, properties and body of the next message, which is taken; None: there is
        none."""
        self.say(GET, b"\0\0" + short(queue) + b"\1")
        method, m = self.hear(GET_OK, GET_EMPTY)
        if method == GET_EMPTY:
            return None
        m.number(9)
        m.short()
        return (m.short(), *self.hear_content()[:2])

    def count(self, queue):
        """Messages in it that nobody has."""
        m = self.call(QUEUE_DECLARE, b"\0\0" + short(queue) + b"\1" + table({}))
        m.short()
        return m.number(4)

    def take_all(self, queue):
        """Routing key, properties and body of all that is in it now, in its order; they are taken."""
        count, taken, tag = self.count(queue), [], "all"
        if not count:
            return taken
        self.call(CONSUME, b"\0\0" + short(queue) + short(tag) + b"\x02" + table({}))
        method = DELIVER
        while method == DELIVER:
            method, m = self.hear(DELIVER, CANCEL_OK)
            if method == DELIVER:
                m.short()
                m.number(9)
                m.short()
                taken.append((m.short(), *self.hear_content()[:2]))
                if len(taken) == count:  # what comes before the answer to this is taken, too
                    self.say(CANCEL, short(tag) + b"\0")
        return taken


class FakeBroker:
    """Listens; each connection is a Peer that has done what the adapter asks for when it connects."""

    def __init__(self, heartbeat=0, frame_max=131072):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_SECONDS)
        self.port = self.listener.getsockname()[1]
        self.heartbeat, self.frame_max = heartbeat, frame_max
        self.peers = []

    def accept(self):
        """Without a word yet."""
        self.peers.append(Peer(self.listener.accept()[0]))
        return self.peers[-1]

    def begin(self):
        """Up to the login; what the adapter said of itself."""
        peer = self.accept()
        assert peer.bytes(8) == b"AMQP\0\0\x09\x01"
        peer.say(START, b"\0\x09" + table({}) + long("PLAIN AMQPLAIN") + long("en_US"), 0)
        m = peer.hear(START_OK)
        peer.about, peer.login = m.table(), (m.short(), m.take(m.number(4)))
        return peer

    def connection(self):
        """All of it, up to where messages can flow."""
        peer = self.begin()
        peer.say(TUNE, struct.pack(">HIH", 2047, self.frame_max, self.heartbeat), 0)
        m = peer.hear(TUNE_OK)
        peer.tuned = m.number(2), m.number(4), m.number(2)
        m = peer.hear(OPEN)
        peer.vhost = m.short()
        peer.say(OPEN_OK, b"\0", 0)
        answers = {CHANNEL_OPEN: long(""), QUEUE_DECLARE: short("q") + bytes(8),
                   CONSUME: short("orderly")}
        done = None
        while done not in (CONFIRM, CONSUME):
            done, _ = peer.hear(CHANNEL_OPEN, EXCHANGE_DECLARE, QUEUE_DECLARE, QUEUE_BIND, QOS,
                                CONSUME, CONFIRM)
            peer.say((done[0], done[1] + 1), answers.get(done, b""))
        return peer

    def close(self):
        for peer in self.peers:
            peer.close()
        self.listener.close()
