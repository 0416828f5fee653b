"""No broker: the server's own bus, and the roads that it has without one.

A listener is an outside context as docs/integration.md describes it: it follows `/messages/stream`, keeps
the id of the last message, and goes on from there; what it says it posts. It is what a broker is to a
relay, and the promises are the same, where they mean something:

    away, back            it has hung up, and connects again
    stopped, goes_on      it has a connection and does not read
    deafen, hear          it hears, and keeps no place: cut off, it goes on from where it was before that
    put                   `POST /messages/{topic}`

It promises `tells` and not `keeps`: between the sender and the log there is nobody who could keep a
message, so it is the sender's until it is answered with 202, and what can't be read is answered with the
reason. So nothing of it becomes a dead letter, nothing comes again by itself, and there is no limit to
what waits to be acknowledged; the tests of these are not made with it. Nor is there a relay, whose
metrics could be looked at. What the bus itself promises to the contexts is in test_inprocess.py."""
import json
import select
import threading

from stream import Stream
from tried import Broker, metric

PASSED_ON = ("order.", "payment.", "stock.", "inventory.", "shipment.")  # as by a relay
LOOK_SECONDS = 0.05
RECEIVE_BUFFER = 4096  # so that the server notices soon that nobody reads


class Listener(threading.Thread):
    """Follows the messages of whatever server it is told of."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()  # of all below
        self.server = None
        self.heard = []
        self.last_id = None
        self.is_away = self.is_stopped = self.forgets = self.ends = self.wants_cut = False
        self.failure = None

    def tell(self, **what):
        with self.lock:
            vars(self).update(what)

    def run(self):
        try:
            while not self.ends:
                with self.lock:
                    server = None if self.is_away else self.server
                    self.wants_cut = False
                if server:
                    self._follow(server)
                threading.Event().wait(LOOK_SECONDS)
        except Exception as e:  # for whoever asks what was heard
            self.failure = e

    def _follow(self, server):
        """Until the connection is lost or to be given up."""
        from_ = {"Last-Event-ID": self.last_id} if self.last_id else {}
        try:
            with Stream(server, "/messages/stream" + ("" if from_ else "?after=0"), from_,
                        receive_buffer=RECEIVE_BUFFER, timeout=120) as stream:
                while self._is_to_follow(server) and self._read(stream):
                    pass
        except (OSError, EOFError, ValueError):  # the server is gone, also in the middle of a line
            pass
        except AssertionError as e:  # … of a chunk, or it is about to end
            if "closed inside a chunk" not in str(e) and not str(e).startswith("503"):
                raise

    def _is_to_follow(self, server):
        with self.lock:
            return not (self.is_away or self.ends or self.wants_cut) and self.server is server

    def _read(self, stream):
        """What is there; False: it has ended."""
        if self.is_stopped or not select.select([stream.socket], [], [], LOOK_SECONDS)[0]:
            threading.Event().wait(LOOK_SECONDS if self.is_stopped else 0)
            return True
        while True:
            frame = stream.frame()
            if frame is None or frame.event == "overflow":
                return False
            if frame.comment is None:
                self._take(frame)
            if b"\n\n" not in stream.text and not stream.buffer:
                return True

    def _take(self, frame):
        m = frame.json
        with self.lock:
            if m["topic"].startswith(PASSED_ON):
                self.heard.append((m["messageId"], m["correlationId"], m["topic"],
                                   frame.data.encode()))
            if not (self.forgets or self.wants_cut):
                self.last_id = frame.id


class InProcess(Broker):
    name = "inprocess"
    promises = frozenset({"tells"})

    def __init__(self, folder):
        self.listeners = {}

    def close(self):
        for listener in self.listeners.values():
            listener.tell(ends=True)
            listener.join()

    def _tell_all(self, **what):
        for listener in self.listeners.values():
            listener.tell(**what)

    def open(self, channel):
        self.listeners[channel] = Listener()
        self.listeners[channel].start()

    def options(self, channel):
        return []

    def joined(self, channel, server):
        self.listeners[channel].tell(server=server)

    def is_heard(self, client):
        return metric(client, 'stream_clients{kind="messages"}') > 0

    def away(self):
        self._tell_all(is_away=True)

    def back(self):
        self._tell_all(is_away=False)

    def stopped(self):
        self._tell_all(is_stopped=True)

    def goes_on(self):
        self._tell_all(is_stopped=False)

    def deafen(self):
        self._tell_all(forgets=True)

    def hear(self):
        self._tell_all(forgets=False, wants_cut=True)

    def restore(self):
        self._tell_all(is_away=False, is_stopped=False, forgets=False)

    def put(self, channel, topic, body, headers=None, key=None):
        with self.listeners[channel].server.client() as c:
            return c.request("POST", f"/messages/{topic}", raw=body, headers=headers)

    def recorded(self, channel):
        listener = self.listeners[channel]
        with listener.lock:
            assert not listener.failure, listener.failure
            return list(listener.heard)
