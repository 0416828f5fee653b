"""Stands before a broker on a port that stays the same while the broker ends and starts again on
another one, and loses what the test wants lost. One thread; holds at most a piece each way."""
import selectors
import socket
import struct
import threading

PIECE = 65536


class Pair:
    """A client, its connection to the broker, and what waits to be written to each."""

    def __init__(self, client, broker):
        self.other = {client: broker, broker: client}
        self.waits = {client: b"", broker: b""}


class Proxy:
    def __init__(self, target):
        """target: a port of 127.0.0.1, or None: nobody is behind it yet."""
        self.lock = threading.Lock()
        self.target = target
        self.is_mute = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.bell, self.bell_end = socket.socketpair()
        self.pairs = {}
        self.wants_cut = self.wants_frozen = False
        self.frozen = []
        self.ends = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def aim(self, target):
        """From now on connections go there; None: they are closed at once."""
        with self.lock:
            self.target = target

    def cut(self):
        """Ends all connections, with a reset."""
        self._ask("wants_cut", True)

    def freeze(self):
        """From now on nothing is read from any connection that is there, nor written to it, nor is it
        closed, whatever its other side does; later ones are as ever."""
        self.is_frozen = threading.Event()
        self._ask("wants_frozen", True)
        self.is_frozen.wait()

    def mute(self, is_mute=True):
        """What the broker says is lost from now on, what is said to it arrives. To be followed by
        cut() before the broker is heard again, since a piece of a stream makes no sense."""
        with self.lock:
            self.is_mute = is_mute

    def close(self):
        self._ask("ends", True)
        self.thread.join()
        for s in (self.listener, self.bell, self.bell_end, *self.frozen):
            s.close()

    def _ask(self, name, value):
        with self.lock:
            setattr(self, name, value)
        self.bell.send(b"!")

    def _run(self):
        with selectors.DefaultSelector() as self.selector:
            self.selector.register(self.listener, selectors.EVENT_READ)
            self.selector.register(self.bell_end, selectors.EVENT_READ)
            while True:
                for key, events in self.selector.select():
                    self._serve(key.fileobj, events)
                with self.lock:
                    ends, cuts, self.wants_cut = self.ends, self.wants_cut, False
                    freezes, self.wants_frozen = self.wants_frozen, False
                if freezes:
                    self._freeze()
                if ends or cuts:
                    for s in list(self.pairs):
                        if s in self.pairs:
                            self._end(s, is_reset=True)
                if ends:
                    return

    def _freeze(self):
        for s in self.pairs:
            if self.selector.get_map().get(s):
                self.selector.unregister(s)
        self.frozen += self.pairs
        self.pairs = {}
        self.is_frozen.set()

    def _serve(self, s, events):
        if s is self.listener:
            self._accept()
        elif s is self.bell_end:
            s.recv(PIECE)
        elif s in self.pairs:
            try:
                if events & selectors.EVENT_WRITE:
                    self._write(s)
                if events & selectors.EVENT_READ and s in self.pairs:
                    self._read(s)
            except OSError:
                self._end(s)

    def _accept(self):
        client, _ = self.listener.accept()
        with self.lock:
            target = self.target
        try:
            broker = socket.create_connection(("127.0.0.1", target), 30) if target else None
        except OSError:
            broker = None
        if not broker:
            client.close()
            return
        pair = Pair(client, broker)
        for s in (client, broker):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[s] = pair
            self.selector.register(s, selectors.EVENT_READ)
        pair.broker = broker

    def _read(self, s):
        pair = self.pairs[s]
        piece = s.recv(PIECE)
        if not piece:
            self._end(s)
            return
        with self.lock:
            if self.is_mute and s is pair.broker:
                return
        pair.waits[pair.other[s]] = piece
        self._write(pair.other[s])

    def _write(self, s):
        """What does not go keeps the other side from being read."""
        pair = self.pairs[s]
        try:
            n = s.send(pair.waits[s])
        except BlockingIOError:
            n = 0
        pair.waits[s] = pair.waits[s][n:]
        self._watch(s)
        self._watch(pair.other[s])

    def _watch(self, s):
        pair = self.pairs[s]
        events = selectors.EVENT_READ if not pair.waits[pair.other[s]] else 0
        events |= selectors.EVENT_WRITE if pair.waits[s] else 0
        known = self.selector.get_map().get(s)
        if events == 0:
            if known:
                self.selector.unregister(s)
        elif known:
            self.selector.modify(s, events)
        else:
            self.selector.register(s, events)

    def _end(self, s, is_reset=False):
        """Both sides. Nothing waits then: who has not been read from has not ended, either. A reset
        also loses what is on its way."""
        pair = self.pairs[s]
        for each in pair.other:
            self.pairs.pop(each, None)
            if self.selector.get_map().get(each):
                self.selector.unregister(each)
            if is_reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
