"""The load generator against servers that misbehave on purpose, and against the floor.

Figures are only as good as the program that takes them: what it counts, and from when.
"""

import json
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("ORDERLY_BUILD", Path(__file__).resolve().parents[2] / "build" / "release"))
CREATED = b"HTTP/1.1 201 Created\r\nLocation: /orders/%d\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class ScriptedServer:
    """Hands each request, with its number from 0, to `answer(connection, number)`; keep-alive."""

    def __init__(self, answer):
        self.answer = answer
        self.bodies = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if self.closing.is_set():
                connection.close()
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                length = re.search(rb"(?i)content-length: (\d+)", head)
                wanted = int(length.group(1)) if length else 0
                while len(data) < wanted:
                    data += connection.recv(65536)
                with self.lock:
                    number = len(self.bodies)
                    self.bodies.append(data[:wanted])
                data = data[wanted:]
                self.answer(connection, number)
        except OSError:
            pass
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        socket.create_connection(self.listener.getsockname()).close()  # wakes the accept
        self.thread.join()
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def run(url, *options):
    return subprocess.run([BUILD / "bench_loadgen", *map(str, options), url + "/orders"],
                          capture_output=True, text=True, timeout=60)


def load(url, *options):
    done = run(url, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answer_created(connection, number):
    connection.sendall(CREATED % number)


@pytest.fixture(scope="module")
def floor():
    process = subprocess.Popen([BUILD / "bench_floor"], stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().split("listening on ")[1].strip()
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()


def test_a_count_is_sent_exactly_and_each_request_has_a_number_of_its_own():
    with ScriptedServer(answer_created) as server:
        result = load(server.url, "--connections", 4, "--count", 100, "--body", "<{n}>", "--first-number", 7)
    assert result["sent"] == result["answered"] == result["succeeded"] == 100
    assert result["status"] == {"201": 100}
    assert result["connects"] == 4
    assert sorted(server.bodies) == [b"<%012d>" % number for number in range(7, 107)]


def test_the_location_of_every_created_order_is_saved(tmp_path):
    with ScriptedServer(answer_created) as server:
        load(server.url, "--connections", 3, "--count", 50, "--body", "{}", "--save-ids", tmp_path / "ids")
    assert sorted((tmp_path / "ids").read_text().split()) == sorted(f"/orders/{n}" for n in range(50))


def test_answers_that_come_in_pieces_are_read_whole():
    def answer_in_pieces(connection, number):
        answer = CREATED % number
        cut = number % len(answer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(answer[:cut])
        connection.sendall(answer[cut:])

    with ScriptedServer(answer_in_pieces) as server:
        result = load(server.url, "--connections", 2, "--pipeline", 4, "--count", 400, "--body", "{}")
    assert result["status"] == {"201": 400}


def test_in_an_open_loop_a_stall_shows_in_every_request_that_was_due_during_it():
    def stall_once(connection, number):
        if number == 100:
            server.closing.wait(0.5)
        connection.sendall(CREATED % number)

    with ScriptedServer(stall_once) as server:
        result = load(server.url, "--connections", 1, "--rate", 200, "--duration", 2, "--body", "{}")
    assert result["status"] == {"201": 400}
    assert result["latency"]["max"] >= 500
    # A hundred of the four hundred were due while the server slept, with 0 to 500 ms to wait.
    assert result["latency"]["p90"] >= 200
    assert result["send_delay"]["p90"] >= 200


def test_an_open_loop_says_what_it_could_not_send():
    def never_answer(connection, number):
        pass

    with ScriptedServer(never_answer) as server:
        result = load(server.url, "--connections", 2, "--rate", 100, "--duration", 0.5, "--drain", 0.2)
    assert result["sent"] == 2
    assert result["unanswered"] == 2
    assert result["unsent"] == 48


def test_a_503_is_sent_again_after_its_retry_after():
    def busy_at_first(connection, number):
        connection.sendall(BUSY if number < 3 else CREATED % number)

    with ScriptedServer(busy_at_first) as server:
        result = load(server.url, "--connections", 3, "--count", 30, "--body", "{}", "--retry-503")
    assert result["status"] == {"201": 30, "503": 3}
    assert result["resent"] == 3
    assert result["succeeded"] == 30


def test_without_retry_a_503_is_an_answer_like_any_other():
    with ScriptedServer(lambda connection, number: connection.sendall(BUSY)) as server:
        result = load(server.url, "--connections", 1, "--count", 5, "--body", "{}")
    assert result["status"] == {"503": 5}
    assert result["succeeded"] == 0
    assert result["latency"]["count"] == 5
    assert result["latency_ok"]["count"] == 0


def test_a_connection_that_breaks_is_counted_and_opened_again():
    def break_once(connection, number):
        if number == 10:
            connection.sendall(b"HTTP/1.1 201 Cre")
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(CREATED % number)

    with ScriptedServer(break_once) as server:
        result = load(server.url, "--connections", 1, "--count", 30, "--body", "{}")
    assert result["lost_closed"] == 1
    assert result["answered"] == 29
    assert result["connects"] == 2


def test_an_answer_that_never_comes_is_a_timeout():
    def hang_once(connection, number):
        if number != 5:
            connection.sendall(CREATED % number)

    with ScriptedServer(hang_once) as server:
        result = load(server.url, "--connections", 1, "--count", 10, "--body", "{}", "--timeout", 0.3)
    assert result["lost_timeout"] == 1
    assert result["answered"] == 9


@pytest.mark.parametrize("answer, why", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    (b"HTTP/1.1 200 OK\r\n\r\n", "Content-Length"),
    (b"220 mail.example ESMTP\r\n\r\n", "not an HTTP"),
    (CREATED % 1 + CREATED % 2 + CREATED % 3, "nobody asked"),
])
def test_an_answer_that_it_cannot_read_is_refused_aloud(answer, why):
    with ScriptedServer(lambda connection, number: connection.sendall(answer)) as server:
        done = run(server.url, "--connections", 1, "--count", 1, "--timeout", 2)
    assert done.returncode == 1
    assert why in done.stderr


def test_a_server_that_is_not_there_ends_it_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = run(f"http://127.0.0.1:{port}", "--count", 1)
    assert done.returncode == 1
    assert "cannot open" in done.stderr


@pytest.mark.parametrize("options", [
    ["--connections", "0"], ["--rate", "fast"], ["--count", "1.5"], ["--header", "no colon"],
    ["--retry-503", "--rate", "5"], ["--body-file", "/nonexistent"], ["--pipeline", "100000"],
])
def test_a_wrong_command_line_is_refused(options):
    assert run("http://127.0.0.1:1", *options).returncode == 2


def test_the_seconds_of_a_run_add_up_to_its_totals():
    with ScriptedServer(answer_created) as server:
        result = load(server.url, "--connections", 2, "--rate", 100, "--duration", 1.5, "--body", "{}",
                      "--seconds")
    assert len(result["seconds"]) >= 2
    for total in ("sent", "answered", "succeeded"):
        assert sum(second[total] for second in result["seconds"]) == result[total] == 150


ORDER = (Path(__file__).resolve().parents[2] / "bench" / "lib" / "order.json").read_text()


@pytest.mark.parametrize("pipeline", [1, 16, 200])
def test_the_floor_takes_orders_however_deep_the_pipeline(floor, pipeline):
    result = load(floor, "--connections", 8, "--pipeline", pipeline, "--count", 20000, "--body", ORDER)
    assert result["status"] == {"201": 20000}


@pytest.mark.parametrize("body", [
    "{", "{}", ORDER.replace('"quantity":1', '"quantity":0'), ORDER.replace("street", "road"),
    ORDER.replace("WIDGET-001", ""),
])
def test_the_floor_refuses_what_is_no_order(floor, body):
    result = load(floor, "--connections", 1, "--count", 3, "--body", body)
    assert result["status"] == {"400": 3}


def test_the_floor_knows_no_other_path(floor):
    result = load(floor, "--connections", 1, "--count", 3, "--path", "/carts", "--body", ORDER)
    assert result["status"] == {"404": 3}
