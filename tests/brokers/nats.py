"""nats-server on ports of its own choice, and as much of a client as the tests need to look at what
is in it from outside: plain sockets, plain text, no library."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from driver import PATIENCE_SECONDS

BINARY = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")


NO_STREAM = 10059


def need_server():
    if not BINARY:
        pytest.skip("nats-server is not here")


class Server:
    """One nats-server with its files below a folder; it may end and start again."""

    def __init__(self, folder, *args, jetstream=True, config=""):
        need_server()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config_path = folder / "nats.conf"
        config_path.write_text(config)
        self.log_path = folder / "nats.log"
        self.args = ["-c", config_path, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder,
                     "-l", self.log_path, *args]
        if jetstream:
            self.args += ["-js", "-sd", folder / "store"]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, *self.args], stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "nats.out", "ab"), stderr=subprocess.STDOUT)
        path = self.folder / f"nats-server_{self.process.pid}.ports"
        deadline = time.monotonic() + PATIENCE_SECONDS
        ports = None
        while ports is None:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)
            try:
                ports = json.loads(path.read_text())
            except (OSError, ValueError):
                pass
        self.port = int(ports["nats"][0].rsplit(":", 1)[1])
        self._wait_until_it_answers(deadline)

    def _wait_until_it_answers(self, deadline):
        """It says its ports before it listens, and listens before JetStream has its streams."""
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                if "Server is ready" in self.log():
                    return
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    def send(self, number):
        os.kill(self.process.pid, number)

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.send(number)
            self.send(signal.SIGCONT)
        self.process.wait(timeout=PATIENCE_SECONDS)
        # The next start is to find its own words.
        if self.log_path.exists():
            self.log_path.rename(self.folder / f"nats-{self.process.pid}.log")

    def restart(self):
        self.end()
        self.start()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Client:
    """Publishes, asks and listens. Answers come in the order in which they are asked for."""

    def __init__(self, port, tls=None, **connect):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.file = self.socket.makefile("rb")
        assert self._line().startswith(b"INFO")
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
            self.file = self.socket.makefile("rb")
        self.number = 0
        self.passed_over = []
        self._say("CONNECT", json.dumps({"verbose": False, "pedantic": False, "headers": True,
                                         "no_responders": True, **connect}))
        self._say("SUB", "_INBOX.test.*", "1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def _say(self, *words, data=None):
        line = " ".join(words).encode() + b"\r\n"
        self.socket.sendall(line if data is None else line + data + b"\r\n")

    def _line(self):
        line = self.file.readline()
        assert line, "the server has closed the connection"
        return line.rstrip(b"\r\n")

    def publish(self, subject, data=b"", headers=None, reply=""):
        words = [subject] + ([reply] if reply else [])
        if headers is None:
            self._say("PUB", *words, str(len(data)), data=data)
            return
        block = b"NATS/1.0\r\n" + b"".join(
            k.encode() + b": " + v.encode() + b"\r\n" for k, v in headers.items()) + b"\r\n"
        self._say("HPUB", *words, str(len(block)), str(len(block) + len(data)), data=block + data)

    def message(self):
        """The next one: subject, headers (a dict of texts, "" is the status line), data. reply_to is
        where it wants an answer."""
        while True:
            words = self._line().split(b" ")
            if words[0] == b"PING":
                self._say("PONG")
            elif words[0] in (b"MSG", b"HMSG"):
                size = int(words[-1])
                has_reply = len(words) == (5 if words[0] == b"MSG" else 6)
                self.reply_to = words[3].decode() if has_reply else None
                data = self.file.read(size + 2)[:-2]
                headers = {}
                if words[0] == b"HMSG":
                    head, data = data[:int(words[-2])], data[int(words[-2]):]
                    lines = head.decode().split("\r\n")
                    headers[""] = lines[0]
                    headers.update(l.split(": ", 1) for l in lines[1:] if ": " in l)
                return words[1].decode(), headers, data
            else:
                assert words[0] in (b"PONG", b"INFO", b"+OK"), words

    def ask(self, subject, data=b"", headers=None):
        """The answer to a request: headers, data."""
        self.number += 1
        reply = f"_INBOX.test.{self.number}"
        self.publish(subject, data, headers, reply)
        while True:
            to, got, data = self.message()
            if to == reply:
                return got, data
            self.passed_over.append((to, got, data))

    def api(self, what, body=None):
        """JetStream's answer, which must be no error."""
        _, data = self.ask(f"$JS.API.{what}", json.dumps(body).encode() if body else b"")
        answer = json.loads(data)
        assert "error" not in answer, answer
        return answer

    def stream(self, name="ORDERS", **config):
        """Makes one."""
        return self.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": ["orders.>"], **config})

    def subscribe(self, subject):
        self._say("SUB", subject, "3")

    def consumer(self, name, pattern, stream="ORDERS", **config):
        return self.api(f"CONSUMER.DURABLE.CREATE.{stream}.{name}", {
            "stream_name": stream, "config": {
                "durable_name": name, "deliver_policy": "all", "ack_policy": "explicit",
                "filter_subject": pattern, **config}})

    def count(self, stream="ORDERS"):
        """0 also where there is no such stream, yet."""
        _, data = self.ask(f"$JS.API.STREAM.INFO.{stream}")
        answer = json.loads(data)
        if answer.get("error", {}).get("err_code") == NO_STREAM:
            return 0
        assert "error" not in answer, answer
        return answer["state"]["messages"]

    def put(self, subject, data=b"", headers=None):
        """Publishes to a stream, and has its acknowledgement."""
        _, answer = self.ask(subject, data, headers)
        answer = json.loads(answer)
        assert "error" not in answer, answer
        return answer

    def get(self, sequence, stream="ORDERS"):
        """A message of the stream: subject, headers, data."""
        import base64
        m = self.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence})["message"]
        lines = base64.b64decode(m.get("hdrs", "")).decode().split("\r\n")
        headers = dict(l.split(": ", 1) for l in lines[1:] if ": " in l)
        return m["subject"], headers, base64.b64decode(m.get("data", ""))

    def read_all(self, stream="ORDERS"):
        """All messages of the stream as the server hands them to a consumer, in its order."""
        count = self.count(stream)
        if count == 0:
            return []
        # A subject of its own: the consumer of the reader before lives on while somebody listens.
        subject = f"_INBOX.reader.{time.monotonic_ns()}"
        self._say("SUB", subject, "2")
        self.passed_over = []
        self.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {
            "deliver_subject": subject, "deliver_policy": "all", "ack_policy": "none"}})
        # The first may come before the answer.
        early = self.passed_over[:count]
        return early + [self.message() for _ in range(count - len(early))]

    def all(self, stream="ORDERS"):
        state = self.api(f"STREAM.INFO.{stream}")["state"]
        return [self.get(n, stream) for n in range(state["first_seq"], state["last_seq"] + 1)]


def certificates(folder, host="127.0.0.1"):
    """A CA, and a server's and a client's certificate of it: paths ca, server, server_key, client,
    client_key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=ca")
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{host}\n")
        run("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return {"ca": folder / "ca.pem", "server": folder / "server.pem",
            "server_key": folder / "server.key", "client": folder / "client.pem",
            "client_key": folder / "client.key"}


def trust(paths):
    context = ssl.create_default_context(cafile=paths["ca"])
    context.load_cert_chain(paths["client"], paths["client_key"])
    return context
