"""How the program starts, what it says, and how it ends."""
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

from client import Client, Raw, eventually
from conftest import BINARY, FAST, clean_environment
from shop import add_product, order, order_body, place, wait_for


def run(*args, env=None, timeout=20):
    """What fails here fails before or beside the store, so nothing is kept."""
    env = {"ORDERLY_STORE": "memory", **(env or {})}
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=clean_environment(env))


# ---- what it says

def test_it_says_what_it_is():
    for args in (["--version"], ["version"]):
        result = run(*args)
        assert result.returncode == 0
        assert result.stdout.startswith("orderly ")


@pytest.mark.parametrize("args", [["--help"], ["help"], ["-h"]])
def test_it_says_what_it_can_do(args):
    result = run(*args)
    assert result.returncode == 0
    assert "usage: orderly COMMAND" in result.stdout
    assert "serve" in result.stdout


@pytest.mark.parametrize("args", [["serve", "--help"], ["help", "serve"]])
def test_help_has_every_option_its_default_and_the_exit_codes(args):
    text = run(*args).stdout
    for part in ("--listen ADDRESS:PORT", "[127.0.0.1:8080]", "payment.timeout = 30m", "--demo",
                 "simulators.payments.mode = approve", "Exit codes", "ORDERLY_", "Examples"):
        assert part in text


def test_without_a_command_it_shows_what_there_is():
    result = run()
    assert result.returncode == 64
    assert "usage: orderly COMMAND" in result.stderr
    for args in (["dance"], ["help", "dance"]):
        result = run(*args)
        assert result.returncode == 64
        assert result.stderr == "orderly: there is no command 'dance'; 'orderly help' lists them\n"
        assert not result.stdout


@pytest.mark.parametrize("args, says", [
    (["--lisen", "x"], "did you mean '--listen'?"),
    (["--set", "payment.timout=5s"], "did you mean 'payment.timeout'?"),
    (["--set", "simulators.payments.mode=maybe"], "must be one of: approve, decline, wait"),
    (["--drain", "10"], "--drain: '10': must be a time with its unit"),
    (["extra"], "'extra'"),
])
def test_a_wrong_command_line_is_told_with_what_is_allowed(args, says):
    result = run("serve", *args)
    assert result.returncode == 64
    assert says in result.stderr
    assert result.stdout == ""


def test_a_wrong_variable_or_file_is_told_with_its_place(tmp_path):
    result = run("serve", env={"ORDERLY_LOG_LEVEL": "loud"})
    assert result.returncode == 78 and "ORDERLY_LOG_LEVEL: 'loud'" in result.stderr
    config = tmp_path / "orderly.conf"
    config.write_text("drain = 5s\nlog.levle = info\n")
    result = run("serve", "--config", str(config))
    assert result.returncode == 78 and f"{config}:2: " in result.stderr
    result = run("serve", "--config", str(tmp_path / "none"))
    assert result.returncode == 78 and "No such file" in result.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:70000", "example.com:80"])
def test_an_address_that_is_none_is_refused(listen):
    result = run("serve", "--listen", listen)
    assert result.returncode == 64 and listen in result.stderr
    result = run("serve", env={"ORDERLY_LISTEN": listen})
    assert result.returncode == 78 and f"ORDERLY_LISTEN: '{listen}'" in result.stderr


@pytest.mark.parametrize("key, value, says", [
    ("relay", "redis://a", "must start with nats://"),
    ("relay.nats.url", "kafka://a", "another kind of broker"),
    ("relay.kafka.topics", "order.eaten", "'order.eaten' is no topic"),
    ("relay.rabbitmq.channel", "a.b", "must be of letters"),
    ("contexts", "orders,orders", "names orders twice"),
])
def test_what_a_relay_or_a_context_can_not_be_is_a_fault_of_its_place(key, value, says):
    result = run("serve", "--listen", "127.0.0.1:0", "--set", f"{key}={value}")
    assert result.returncode == 64 and f"--set {key}: " in result.stderr
    assert says in result.stderr
    name = "ORDERLY_" + key.replace(".", "_").upper()
    result = run("serve", "--listen", "127.0.0.1:0", env={name: value})
    assert result.returncode == 78 and f"{name}: " in result.stderr and says in result.stderr


def test_options_of_a_relay_that_there_is_not_are_warned_of(start):
    server = start("--set", "relay.nats.window=1", "--set", "relay.nats.mode=structured")
    eventually(lambda: _warned_of_unused(server))
    assert server.stop() == 0


def _warned_of_unused(server):
    lines = [line for line in server.log().splitlines() if "relay_options_unused" in line]
    assert len(lines) == 1
    assert "relay=nats" in lines[0] and "relay.nats.mode relay.nats.window" in lines[0]


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "*:0", "[::]:0", "192.0.2.1:80"])
def test_beyond_loopback_it_does_not_start_without_tokens(listen):
    result = run("serve", "--listen", listen)
    assert result.returncode == 78 and "token-file" in result.stderr


def test_beyond_loopback_it_starts_with_tokens(start, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("operator " + "o" * 43 + "\n")
    path.chmod(0o600)
    server = start("--token-file", str(path), listen="0.0.0.0:0")
    server.host = "127.0.0.1"
    with server.client() as client:
        client.get("/livez").is_(200)
        client.get("/orders").problem(401, "unauthorized")
    assert "Authorization: Bearer $TOKEN" in server.greeting


@pytest.mark.parametrize("mode, text", [(0o644, "operator " + "o" * 43), (0o600, "king x"),
                                        (0o600, "# nobody\n")])
def test_a_token_file_that_is_not_good_is_refused(tmp_path, mode, text):
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    result = run("serve", "--listen", "127.0.0.1:0", "--token-file", str(path))
    assert result.returncode == 78 and "token-file" in result.stderr
    assert "o" * 43 not in result.stderr


def test_an_address_that_is_taken_is_told(server):
    result = run("serve", "--listen", f"{server.host}:{server.port}")
    assert result.returncode == 69
    assert f"can't listen on {server.host}:{server.port}" in result.stderr
    assert len(result.stderr.splitlines()) == 1  # the last line says why


def paste(server):
    """What each line to paste answers; that nothing is refused is checked."""
    lines = server.greeting.splitlines()
    assert lines[0] == f"listening on http://127.0.0.1:{server.port}"
    answers = []
    for line in (line.strip() for line in lines[1:] if line):
        assert line.startswith("curl ")
        result = subprocess.run(["sh", "-c", line.replace("curl", "curl -sS --fail", 1)],
                                capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, (line, result.stderr)
        answers.append(json.loads(result.stdout))
    return answers


def test_the_first_line_says_where_it_listens_and_the_others_are_to_paste(start):
    order, orders, _ = paste(start("--demo"))
    assert [o["orderId"] for o in orders["data"]] == [order["orderId"]]


def test_the_lines_to_paste_work_in_an_empty_directory_and_again_in_what_it_became(start, tmp_path):
    data = f"--data={tmp_path / 'data'}"
    server = start(data)
    product, order, orders, _ = paste(server)
    assert product["sku"] == order["items"][0]["sku"]
    assert [o["orderId"] for o in orders["data"]] == [order["orderId"]]
    server.stop()
    server = start(data)
    again, orders, _ = paste(server)
    assert [o["orderId"] for o in orders["data"]] == [again["orderId"], order["orderId"]]
    with server.client() as client:
        client.patch("/products/WIDGET-001", {"price": None}).is_(200)
    server.stop()
    assert len(paste(start(data))) == 2  # nobody can order what has no price


def test_it_listens_on_ipv6_loopback(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = start(listen="[::1]:0")
    assert server.greeting.startswith("listening on http://[::1]:")


def test_flags_beat_variables_and_variables_beat_the_file(start, tmp_path):
    config = tmp_path / "orderly.conf"
    config.write_text("simulators.payments.seed = 1\nsimulators.payments.failFirst = 1\n"
                      "simulators.payments.mode = decline # no money\n")
    server = start("--config", str(config), "--set=simulators.payments.seed=3",
                   env={"ORDERLY_SIMULATORS_PAYMENTS_SEED": "2",
                        "ORDERLY_SIMULATORS_PAYMENTS_FAIL_FIRST": "2"})
    with server.client() as client:
        now = client.get("/simulators/payments").json
    assert (now["seed"], now["failFirst"], now["mode"]) == (3, 2, "decline")


def test_variables_of_the_platform_are_only_warned_about(start):
    server = start(env={"ORDERLY_SERVICE_HOST": "10.0.0.1"})
    eventually(lambda: "event=unknown_variables names=ORDERLY_SERVICE_HOST" in server.log())


# ---- the log

def test_log_lines_have_the_order_and_cannot_be_forged(start):
    server = start(*FAST)
    with server.client() as client:
        o = place(client)
        wait_for(client, o["orderId"], "SHIPPED")
        client.post("/messages/stock.rejected", {
            "messageId": "m-1", "payload": {"orderId": "x", "reason": "a\nlevel=error event=forged"}})
        eventually(lambda: "topic=order.shipped" in server.log())
    lines = server.log().splitlines()
    assert all(line.startswith("ts=") and " level=" in line and " event=" in line for line in lines)
    mine = [line for line in lines if o["orderId"] in line]
    assert any("topic=order.placed" in line for line in mine)
    assert not any(" event=forged" in line for line in lines)


def test_bodies_and_addresses_are_never_logged(start):
    server = start(*FAST, "--log.level", "debug")
    with server.client() as client:
        sku = add_product(client)
        body = order_body(sku, customerId="customer-visible")
        body["shippingAddress"] = {**body["shippingAddress"], "street": "Hidden Lane 77"}
        o = client.post("/orders", body, headers={"Idempotency-Key": "hidden-key-77"}).is_(201).json
        wait_for(client, o["orderId"], "SHIPPED")
    assert server.stop() == 0
    for secret in ("Hidden Lane", "hidden-key-77"):
        assert secret not in server.log()


def test_a_log_that_nobody_reads_does_not_stop_the_server():
    process = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", "--store=memory", *FAST],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=clean_environment())
    try:
        url = process.stdout.readline().decode().split(" ")[-1].strip()
        host, port = url.split("//")[1].split(":")

        with Client(host, int(port)) as client:
            sku = add_product(client, stock=100000)
            for _ in range(400):  # some 400 kB of lines; a pipe takes 64
                client.post("/orders", order_body(sku, 1)).is_(201)
            client.get("/livez").is_(200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()


# ---- how it ends

HALF_A_REQUEST = ("POST /carts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
                  "Content-Type: application/json\r\n\r\n{")


def wait_until_in_flight(server, n):
    """Beside the one that asks."""
    with server.client() as client:
        eventually(lambda: f"orderly_http_requests_in_flight {n + 1}\n" in client.get(
            "/metrics").body.decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_as_asked(start, number):
    server = start(*FAST)
    with server.client() as client:
        place(client)
    began = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - began < 5
    assert "event=stopped" in server.log()


def test_what_is_in_flight_is_answered_and_nothing_new_is_taken(start):
    server = start("--set=simulators.payments.mode=wait")
    with server.client() as client:
        o = place(client)
        answers = []

        def wait():
            with server.client() as other:
                answers.append(other.get(f"/orders/{o['orderId']}?until=SHIPPED&wait=30s"))
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until_in_flight(server, 1)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        waiter.join(timeout=10)
        assert answers and answers[0].is_(200).json["orderId"] == o["orderId"]
        assert server.wait() == 0
        assert time.monotonic() - began < 8
        with pytest.raises(ConnectionError):
            socket.create_connection((server.host, server.port), timeout=5)


def test_a_body_that_is_under_way_is_still_taken(start):
    server = start(*FAST)
    body = '{"customerId":"late"}'
    with Raw(server) as raw:
        raw.send(f"POST /carts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body[:5]}")
        wait_until_in_flight(server, 1)
        server.send_signal(signal.SIGTERM)
        eventually(lambda: "event=draining" in server.log())
        answer = raw.send(body[5:]).answer()
        assert answer.status in (201, 503)
        if answer.status == 503:
            answer.problem(503, "shutting_down")
        assert answer.headers["Connection"] == "close"
    assert server.wait() == 0


def test_the_drain_takes_no_longer_than_it_may(start):
    server = start(*FAST, "--drain=300ms")
    with Raw(server) as raw:
        raw.send(HALF_A_REQUEST)
        wait_until_in_flight(server, 1)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.25 < time.monotonic() - began < 5
    assert "event=drain_over" in server.log()


def test_a_second_signal_ends_it_at_once(start):
    server = start(*FAST, "--drain=1m")
    with Raw(server) as raw:
        raw.send(HALF_A_REQUEST)
        wait_until_in_flight(server, 1)
        server.send_signal(signal.SIGTERM)
        eventually(lambda: "event=draining" in server.log())
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
        assert time.monotonic() - began < 20


def test_hup_without_tokens_does_nothing(start):
    server = start(*FAST)
    server.send_signal(signal.SIGHUP)
    with server.client() as client:
        assert order(client, place(client)["orderId"])


def test_a_pipe_that_was_closed_does_not_kill_it(start):
    server = start(*FAST)
    server.process.stdout.close()
    with Raw(server) as raw:
        raw.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    with server.client() as client:
        client.get("/livez").is_(200)
