"""Stands before a mock broker of Kafka as what the mock is not: TLS, a login by SASL, and topics that
are made. Whoever has come in talks to the mock, which is shown by the gate's own port."""
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading

METADATA, API_VERSIONS, SASL_HANDSHAKE, CREATE_TOPICS, SASL_AUTHENTICATE = 3, 18, 17, 19, 36
UNSUPPORTED_MECHANISM, UNSUPPORTED_VERSION, AUTHENTICATION_FAILED = 33, 35, 58
VERSIONS_MAX = METADATA_MAX = 2  # newer ones have another form
HOST = b"127.0.0.1"
ITERATIONS = 4096


def string(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Refused(Exception):
    pass


class Scram:
    """The server's side of RFC 5802, for one user."""

    def __init__(self, hash_name, user, password):
        self.name, self.user, self.password = hash_name, user, password
        self.step = 0

    def hmac(self, key, text):
        return hmac.digest(key, text, self.name)

    def answer(self, said):
        self.step += 1
        if self.step == 1:
            bare = said.decode().split(",", 2)[2]
            fields = dict(f.split("=", 1) for f in bare.split(","))
            if fields["n"] != self.user:
                raise Refused
            self.salt, self.nonce = os.urandom(16), fields["r"] + "server"
            first = f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i={ITERATIONS}"
            self.text = f"{bare},{first},"
            return first.encode(), False
        without_proof, proof = said.decode().rsplit(",p=", 1)
        salted = hashlib.pbkdf2_hmac(self.name, self.password.encode(), self.salt, ITERATIONS)
        key = self.hmac(salted, b"Client Key")
        text = (self.text + without_proof).encode()
        signature = self.hmac(hashlib.new(self.name, key).digest(), text)
        if bytes(a ^ b for a, b in zip(key, signature)) != base64.b64decode(proof):
            raise Refused
        server = self.hmac(self.hmac(salted, b"Server Key"), text)
        return b"v=" + base64.b64encode(server), True


class Plain:
    def __init__(self, user, password):
        self.wanted = f"\0{user}\0{password}".encode()

    def answer(self, said):
        if said != self.wanted:
            raise Refused
        return b"", True


class KafkaGate:
    def __init__(self, mock, certificates=None, mechanism=None, user="shop", password="",
                 wants_certificate=False, create_code=None, create_version=4):
        """mock: a KafkaMock of one broker. certificates: of make_certificates, for TLS. mechanism:
        PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; all else is refused. create_code: what is said of
        every topic that is to be made; 0 makes it; None: the broker makes none."""
        self.mock, self.mechanism = mock, mechanism
        self.user, self.password = user, password
        self.create_code, self.create_version = create_code, create_version
        self.target = int(mock.address.rsplit(":", 1)[1])
        self.asked = []   # mechanisms, in order
        self.created = []  # (name, partitions, replicas)
        self.was_asked = threading.Event()  # for a topic
        self.context = None
        if certificates:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
            if wants_certificate:
                self.context.load_verify_locations(certificates / "ca.pem")
                self.context.verify_mode = ssl.CERT_REQUIRED
        self.lock = threading.Lock()
        self.open = set()
        self.ends = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def close(self):
        with self.lock:
            self.ends = True
            for s in self.open:
                self._shut(s)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        self.listener.close()
        for thread in self.threads[1:]:
            thread.join()

    @staticmethod
    def _shut(s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self.lock:
            self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self._start(self._serve, client)

    def _hold(self, s):
        """So that close ends it."""
        with self.lock:
            self.open.add(s)
            if self.ends:
                self._shut(s)

    def _serve(self, client):
        broker = socket.create_connection(("127.0.0.1", self.target))
        self._hold(broker)
        self._hold(client)
        back = None
        try:
            if self.context:
                plain = client
                client = self.context.wrap_socket(client, server_side=True)
                self._hold(client)
                with self.lock:
                    self.open.discard(plain)
            writing, metadata = threading.Lock(), {}
            if self._let_in(client, broker):
                back = threading.Thread(target=self._pump_back,
                                        args=(broker, client, writing, metadata), daemon=True)
                back.start()
                while True:
                    self._take(self._frame(client), client, broker, writing, metadata)
        except (OSError, EOFError):
            pass
        for s in (client, broker):
            self._shut(s)
        if back:
            back.join()
        with self.lock:
            self.open -= {client, broker}
        client.close()
        broker.close()

    @staticmethod
    def _bytes(s, n):
        data = b""
        while len(data) < n:
            piece = s.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def _frame(self, s):
        return self._bytes(s, struct.unpack(">i", self._bytes(s, 4))[0])

    @staticmethod
    def _send(s, *parts):
        data = b"".join(parts)
        s.sendall(struct.pack(">i", len(data)) + data)

    @staticmethod
    def _head(frame):
        """Key, version, correlation id, body."""
        key, version, id, n = struct.unpack(">hhih", frame[:10])
        return key, version, frame[4:8], frame[10 + max(n, 0):]

    def _let_in(self, client, broker):
        """False: it may not."""
        login = None
        while True:
            frame = self._frame(client)
            key, version, id, body = self._head(frame)
            if key == API_VERSIONS and version > VERSIONS_MAX:
                # Of the form that every client reads, which then asks in it.
                self._send(client, id, struct.pack(">hihhh", UNSUPPORTED_VERSION, 1, API_VERSIONS, 0,
                                                   VERSIONS_MAX))
            elif key == API_VERSIONS:
                self._send(broker, frame)
                self._send(client, self._versions(self._frame(broker)))
                if not self.mechanism:
                    return True
            elif key == SASL_HANDSHAKE:
                mechanism = body[2:2 + struct.unpack(">h", body[:2])[0]].decode()
                self.asked.append(mechanism)
                is_it = mechanism == self.mechanism
                self._send(client, id, struct.pack(">hi", 0 if is_it else UNSUPPORTED_MECHANISM, 1),
                           string(self.mechanism))
                login = self._login()
            elif key == SASL_AUTHENTICATE and login:
                said = body[4:4 + struct.unpack(">i", body[:4])[0]]
                lifetime = struct.pack(">q", 0) if version else b""
                try:
                    answer, is_in = login.answer(said)
                except Refused:
                    self._send(client, id, struct.pack(">h", AUTHENTICATION_FAILED),
                               string("wrong user or password"), struct.pack(">i", 0), lifetime)
                    return False
                self._send(client, id, struct.pack(">hhi", 0, -1, len(answer)), answer, lifetime)
                if is_in:
                    return True
            else:
                return False

    def _login(self):
        if self.mechanism == "PLAIN":
            return Plain(self.user, self.password)
        return Scram("sha" + self.mechanism[-3:], self.user, self.password)

    def _versions(self, frame):
        """With what the mock does not know, and without forms that are not read here."""
        code, count = struct.unpack(">hi", frame[4:10])
        end = 10 + 6 * count
        known = [struct.unpack(">hhh", frame[at:at + 6]) for at in range(10, end, 6)]
        known = [(key, least, min(most, METADATA_MAX) if key == METADATA else most)
                 for key, least, most in known]
        if self.mechanism:
            known += [(SASL_HANDSHAKE, 0, 1), (SASL_AUTHENTICATE, 0, 1)]
        if self.create_code is not None:
            known.append((CREATE_TOPICS, 0, self.create_version))
        return (frame[:4] + struct.pack(">hi", code, len(known))
                + b"".join(struct.pack(">hhh", *k) for k in known) + frame[end:])

    def _take(self, frame, client, broker, writing, metadata):
        key, version, id, body = self._head(frame)
        if key == METADATA:
            metadata[id] = version
        if key == API_VERSIONS:
            raise EOFError  # they were told
        if key != CREATE_TOPICS:
            self._send(broker, frame)
            return
        n = struct.unpack(">h", body[4:6])[0]
        name = body[6:6 + n].decode()
        self.created.append((name, *struct.unpack(">ih", body[6 + n:12 + n])))
        self.was_asked.set()
        if self.create_code == 0:
            self.mock.do("topic_error", name, 0)
        with writing:
            self._send(client, id, struct.pack(">ii", 0, 1), string(name),
                       struct.pack(">h", self.create_code), string("the broker's own words"))

    @staticmethod
    def _with_controller(frame, version):
        """The mock says that none of its brokers is the controller, who makes topics."""
        at = 8
        for _ in range(struct.unpack(">i", frame[4:8])[0]):
            at += 4  # id
            at += 2 + struct.unpack(">h", frame[at:at + 2])[0] + 4  # host, port
            at += 2 + max(0, struct.unpack(">h", frame[at:at + 2])[0])  # rack
        if version >= 2:  # the cluster's id
            at += 2 + max(0, struct.unpack(">h", frame[at:at + 2])[0])
        return frame[:at] + struct.pack(">i", 1) + frame[at + 4:]

    def _pump_back(self, broker, client, writing, metadata):
        shown = [string(HOST.decode()) + struct.pack(">i", port) for port in (self.target, self.port)]
        try:
            while True:
                frame = self._frame(broker).replace(*shown)
                version = metadata.pop(frame[:4], 0)
                if version >= 1:
                    frame = self._with_controller(frame, version)
                with writing:
                    self._send(client, frame)
        except (OSError, EOFError):
            self._shut(client)
