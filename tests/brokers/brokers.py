"""Starts brokers from the distribution's packages, on free ports of 127.0.0.1 and with all they write
below a folder of the test's. Where one is not installed the test is skipped, aloud."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from driver import BUILD, without_random_addresses

START_SECONDS = 180


def free_ports(n):
    """Nobody holds them; somebody may before they are used, so that a start is tried again."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def accepts(port):
    """A port that nobody listens on may be taken for the own end of the connection to it, which is
    then with itself."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            return s.getsockname() != s.getpeername()
    except OSError:
        return False


def make_certificates(folder):
    """A CA, a server's certificate for 127.0.0.1 and localhost, a client's, and a CA that signed
    nothing: ca, server, client, other, each .pem and .key; locked.key is the client's, which asks
    for a passphrase."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True,
                       timeout=START_SECONDS)
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.pem")
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-days", "30", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
                "ca.key", "-CAcreateserial", "-extfile", str(names), "-out", f"{name}.pem")
    openssl("pkey", "-in", "client.key", "-aes256", "-passout", "pass:open sesame", "-out",
            "locked.key")
    return folder


class RabbitServer:
    """A rabbitmq-server without plugins, which knows guest with its usual password."""

    scripts = pathlib.Path("/usr/lib/rabbitmq/bin")

    def __init__(self, folder, certificates=None, **settings):
        """certificates: TLS on a second port, for who shows a certificate of its CA.
        settings: of rabbitmq.conf, with _ for a dot."""
        if not (self.scripts / "rabbitmq-server").exists() or not shutil.which("epmd"):
            pytest.skip("rabbitmq-server is not installed")
        self.folder, self.certificates, self.settings = folder, certificates, settings
        self.process = self.epmd = None
        for name in ("home", "mnesia", "log"):
            (folder / name).mkdir()
        (folder / "plugins").write_text("[].\n")
        self._choose_ports()
        self.node = f"orderly{self.dist_port}@localhost"  # its files have this name
        self.log = folder / "log" / f"{self.node}.log"
        self.start()

    def _choose_ports(self):
        self.port, self.tls_port, self.dist_port, self.epmd_port = free_ports(4)

    def _write_settings(self):
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", "log.console = false"]
        if self.certificates:
            lines += [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
                      f"ssl_options.cacertfile = {self.certificates}/ca.pem",
                      f"ssl_options.certfile = {self.certificates}/server.pem",
                      f"ssl_options.keyfile = {self.certificates}/server.key",
                      "ssl_options.verify = verify_peer",
                      "ssl_options.fail_if_no_peer_cert = true"]
        lines += [f"{name} = {value}" for name, value in self.settings.items()]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def environment(self):
        f = self.folder
        return {
            "PATH": os.environ["PATH"], "HOME": str(f / "home"), "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(self.dist_port),
            "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(f / "mnesia"), "RABBITMQ_LOG_BASE": str(f / "log"),
            "RABBITMQ_CONFIG_FILE": str(f / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(f / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        }

    def _start(self):
        """False: it ended, perhaps because somebody has taken one of the ports."""
        self._write_settings()
        starts = self._starts()
        environment = self.environment()
        with open(self.folder / "output", "ab") as output:
            # Its own, because one that a node starts would outlive it.
            self.epmd = subprocess.Popen(["epmd", "-port", str(self.epmd_port), "-address",
                                          "127.0.0.1"], env=environment, stdin=subprocess.DEVNULL,
                                         stdout=output, stderr=output)
            deadline = time.monotonic() + START_SECONDS
            while not accepts(self.epmd_port):
                if self.epmd.poll() is not None:
                    return False
                assert time.monotonic() < deadline, "epmd does not listen"
                time.sleep(0.05)
            self.process = subprocess.Popen([self.scripts / "rabbitmq-server"], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True)
        # Its own word: whoever answers at the port may be somebody else, who has taken it.
        while self._starts() == starts:
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"it takes too long to start:\n{self.output()}"
            time.sleep(0.1)
        return True

    def _starts(self):
        """How often it has come to its end of starting."""
        return self.log.read_bytes().count(b"Server startup complete") if self.log.exists() else 0

    def _is_gone(self):
        """The machine that the script starts, with its sockets and files."""
        try:
            pid = (self.folder / "mnesia" / f"{self.node}.pid").read_text().strip()
            state = pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        return state in "ZX"

    def is_running(self):
        return bool(self.process) and self.process.poll() is None

    def signal(self, number):
        """To the script and to the node that it waits for."""
        os.killpg(self.process.pid, number)

    def stop(self):
        """At once, as by a crash; what it has confirmed is on its disk."""
        if self.is_running():
            self.signal(signal.SIGKILL)
            self.process.wait(timeout=START_SECONDS)
            # That was the script. What it has started dies by itself, and until then its sockets and
            # files are not given back.
            deadline = time.monotonic() + START_SECONDS
            while not self._is_gone():
                assert time.monotonic() < deadline, "the node does not end"
                time.sleep(0.01)
        if self.epmd:
            self.epmd.terminate()
            self.epmd.wait(timeout=START_SECONDS)
        self.process = self.epmd = None

    def start(self):
        """Also again, with what is on its disk. On the same ports, unless somebody has one of them
        meanwhile."""
        for attempt in range(5):
            if self._start():
                return
            self.stop()
            self._choose_ports()
        raise AssertionError(f"rabbitmq-server does not start:\n{self.output()}")

    def ctl(self, *words):
        return subprocess.run([self.scripts / "rabbitmqctl", *words], env=self.environment(),
                              check=True, capture_output=True, timeout=START_SECONDS,
                              stdin=subprocess.DEVNULL).stdout

    def output(self):
        return (self.folder / "output").read_text(errors="replace")


class KafkaMock:
    """A cluster of librdkafka's mock brokers, in a process of its own; see kafka_mock.c."""

    def __init__(self, brokers=1):
        if not (BUILD / "kafka_mock").exists():
            pytest.skip("kafka_mock was not built: librdkafka is not here")
        self.process = subprocess.Popen([*without_random_addresses(), BUILD / "kafka_mock",
                                         str(brokers)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        assert self.address, "kafka_mock does not start"
        self.lock = threading.Lock()  # of its words: it answers one after the other
        self.reading = None
        self.messages = []

    def do(self, *words):
        with self.lock:
            self._say(*words)
            answer = self.process.stdout.readline().split()
        assert answer[:1] == ["ok"], (words, answer)
        return answer[1:]

    def _say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def put(self, topic, key, body, headers):
        """key: None, or a text. headers: texts. As another client sends it."""
        self.do("put", topic, "-" if key is None else key.encode().hex(), body.hex(),
                *(f"{name}={value.encode().hex()}" for name, value in headers.items()))

    def read(self, topic):
        """All that is in the topic's partitions, 0 to 3: (partition, offset, key, body, headers), of
        each partition in its order."""
        with self.lock:
            return self._read(topic)

    def _read(self, topic):
        if topic != self.reading:
            self.reading, self.messages = topic, []
        self._say("read", topic)
        while True:
            words = self.process.stdout.readline().rstrip("\n").split(" ")
            if not words[0].isdigit():
                assert words == ["ok"], (topic, words)
                return list(self.messages)
            partition, offset, key, body, *headers = words
            self.messages.append((
                int(partition), int(offset), None if key == "-" else bytes.fromhex(key).decode(),
                bytes.fromhex(body),
                {name: bytes.fromhex(value).decode() for name, value in
                 (header.split("=") for header in headers)}))

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=START_SECONDS) == 0
        self.process.stdout.close()
