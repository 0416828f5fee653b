"""The scripts of examples/ are run as who has just come here runs them, with brokers of their own on
ports of this test's choice. Each shows what it promises, ends by itself, and leaves nothing behind,
also where it is ended midway.

What an example started is known by a variable that every process inherits, whatever group or session
it is in, and that it keeps when its parent is gone."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time
import uuid

import pytest

import brokers
import nats
import shop
from client import eventually
from serving import BINARY, FAST, ROOT, clean_environment, start  # noqa: F401

EXAMPLES = ROOT / "examples"
PATIENCE_SECONDS = 240
PORTS_TAKEN = 5  # as often somebody may have taken a port that was free
MARK = "EXAMPLE_OF_THIS_TEST"
SHOWN = re.compile(r"""orders: http://127\.0\.0\.1:\d+
payments: http://127\.0\.0\.1:\d+
inventory: http://127\.0\.0\.1:\d+
shipments: http://127\.0\.0\.1:\d+
order [0-9a-f-]{36} of stock_first: SHIPPED
order [0-9a-f-]{36} of pay_first: STOCK_RESERVED
what payments decided:
 +1 payment\.approved
 +1 payment\.processed
what inventory decided:
 +1 inventory\.reserved
 +1 stock\.reserved
what shipments decided:
 +1 shipment\.created
""")

# Where the tests run in the background of a shell SIGINT is ignored, and so it would be in what they
# start; a handler of ours is not handed on.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Example:
    """One run, in a session of its own, with a folder for all that it makes."""

    def __init__(self, folder, *command, **environment):
        self.temporary = folder / uuid.uuid4().hex
        self.temporary.mkdir()
        self.said_path = self.temporary.with_suffix(".stderr")
        self.mark = f"{MARK}={uuid.uuid4().hex}".encode()
        name, _, value = self.mark.decode().partition("=")
        with open(self.said_path, "wb") as said:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                start_new_session=True, cwd=self.temporary,
                env=clean_environment({"ORDERLY": BINARY, "TMPDIR": str(self.temporary),
                                       name: value, **environment}))
        self.output, self.shown = os.dup(self.process.stdout.fileno()), b""
        self.process.stdout.close()
        self.deadline = time.monotonic() + PATIENCE_SECONDS

    def said(self):
        return self.said_path.read_text(errors="replace")

    def read_until(self, text):
        """False: it has ended before."""
        while text not in self.shown:
            ready, _, _ = select.select([self.output], [], [],
                                        max(0, self.deadline - time.monotonic()))
            assert ready, f"no {text!r} in time:\n{self.shown.decode()}{self.said()}"
            piece = os.read(self.output, 65536)
            if not piece:
                return False
            self.shown += piece
        return True

    def stop_reading(self):
        os.close(self.output)
        self.output = None

    def wait(self):
        return self.process.wait(timeout=max(1, self.deadline - time.monotonic()))

    def running(self):
        """{process id: command} of all that it has started, and of itself."""
        found = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if self.mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:  # it has just ended, or is somebody else's
                pass
        return found

    def leaves_nothing(self):
        def check():
            assert self.running() == {}
        eventually(check, PATIENCE_SECONDS)  # what was killed takes a moment
        assert list(self.temporary.iterdir()) == []

    def end(self):
        """Of what a failed test has left."""
        for pid in self.running():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(timeout=PATIENCE_SECONDS)
        if self.output is not None:
            self.stop_reading()


@pytest.fixture
def run(tmp_path):
    """run(*command, **environment) gives an Example."""
    examples = []

    def make(*command, **environment):
        examples.append(Example(tmp_path, *map(str, command), **environment))
        return examples[-1]
    yield make
    for example in examples:
        example.end()


def need(name):
    if not (pathlib.Path(BINARY).parent / f"orderly-{name}.so").exists():
        pytest.skip(f"orderly-{name}.so was not built beside {BINARY}: its library is not here")
    if name == "nats":
        nats.need_server()
    if name == "rabbitmq" and not (brokers.RabbitServer.scripts / "rabbitmq-server").exists():
        pytest.skip("rabbitmq-server is not installed")
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")


def free_port(n):
    """The first of n that follow one another."""
    while True:
        port, = brokers.free_ports(1)
        if port + n <= 65536 and not any(brokers.accepts(p) for p in range(port, port + n)):
            return port


def run_with_broker(run, name, then, **environment):
    """The script that starts the broker, too; then(example) says whether it went well, or only somebody
    had taken a port meanwhile."""
    need(name)
    variable, ports = {"nats": ("NATS_PORT", 1), "rabbitmq": ("AMQP_PORT", 3)}[name]
    for _ in range(PORTS_TAKEN):
        example = run(EXAMPLES / f"{name}.sh", **{variable: str(free_port(ports))}, **environment)
        went_well = then(example)
        example.leaves_nothing()
        if went_well:
            return
    raise AssertionError(example.said())


def ends(example, code):
    """False: because a port was taken."""
    while example.read_until(b"nothing that it says"):
        pass
    if example.wait() == 1 and "taken?" in example.said():
        return False
    assert example.process.returncode == code, example.shown.decode() + example.said()
    return True


@pytest.mark.parametrize("name", ("nats", "rabbitmq"))
def test_an_example_with_its_broker_shows_two_orders_at_their_end_and_leaves_nothing(run, name):
    def then(example):
        if not ends(example, 0):
            return False
        assert SHOWN.fullmatch(example.shown.decode()), example.shown.decode()
        return True
    run_with_broker(run, name, then)


def test_the_example_of_four_processes_shows_the_same_with_a_broker_of_kafka(run):
    need("kafka")
    mock = brokers.KafkaMock()
    try:
        example = run(EXAMPLES / "four_processes.sh", f"kafka://{mock.address}")
        assert ends(example, 0)
        assert SHOWN.fullmatch(example.shown.decode()), example.shown.decode()
        example.leaves_nothing()
    finally:
        mock.stop()


def to_the_script(example):
    """As 'kill PID' does."""
    example.process.send_signal(signal.SIGTERM)
    return 128 + signal.SIGTERM


def to_all(example):
    """As Ctrl-C does, or a terminal that is closed."""
    if example.process.poll() is None:
        os.killpg(example.process.pid, signal.SIGINT)
    return 128 + signal.SIGINT


def starts(program):
    """A broker, which has not said yet that it is ready; or the script has ended."""
    def check(example):
        assert example.process.poll() is not None or \
            any(program in command for command in example.running().values())
    return lambda example: eventually(lambda: check(example), PATIENCE_SECONDS)


def shows(text):
    return lambda example: example.read_until(text)


MOMENTS = {
    "NATS starts": ("nats", starts(b"nats-server ")),
    "the processes start": ("nats", shows(b"orders: ")),
    "an order is on its way": ("nats", shows(b"shipments: ")),
    "RabbitMQ's script starts": ("rabbitmq", starts(b"rabbitmq-server ")),
    "RabbitMQ starts": ("rabbitmq", starts(b"beam.smp ")),
    "an order is on its way by RabbitMQ": ("rabbitmq", shows(b"shipments: ")),
}
# So that nothing comes to its end before it is ended, however late this test is.
NOBODY_PAYS = {"ORDERLY_SIMULATORS_PAYMENTS_MODE": "wait"}


@pytest.mark.parametrize("moment, send", [
    (moment, send) for moment in MOMENTS for send in (to_the_script, to_all)
    if (moment, send) != ("an order is on its way by RabbitMQ", to_the_script)])
def test_an_example_that_is_ended_midway_leaves_nothing(run, moment, send):
    name, come_to = MOMENTS[moment]

    def then(example):
        come_to(example)
        return ends(example, send(example))
    run_with_broker(run, name, then, **NOBODY_PAYS)


def test_an_example_that_nobody_reads_leaves_nothing(run):
    """As with 'examples/nats.sh | head -n 1'."""
    def then(example):
        if not example.read_until(b"orders: "):
            return ends(example, 0)  # it is not: a port was taken, or this fails
        example.stop_reading()
        assert example.wait() != 0  # by the signal or by what failed to be written: the shell's choice
        return True
    run_with_broker(run, "nats", then, **NOBODY_PAYS)


def test_an_example_says_what_it_lacks(run):
    without_program = run(EXAMPLES / "four_processes.sh", "nats://127.0.0.1:1",
                          ORDERLY="/there/is/no/orderly")
    without_url = run(EXAMPLES / "four_processes.sh")
    without_broker = run(EXAMPLES / "four_processes.sh", "broker://127.0.0.1:1")
    assert without_program.wait() == 1
    assert "there is no /there/is/no/orderly; './dev run' builds it" in without_program.said()
    assert without_url.wait() == 2 and "usage: four_processes.sh URL" in without_url.said()
    assert without_broker.wait() == 1
    assert "orders did not start, or does not find the broker:\norderly: " in without_broker.said()
    for example in (without_program, without_url, without_broker):
        example.leaves_nothing()


# ---- the outside payment service

def serve_payments(run, server, ledger):
    """As the head of its source says, until it hears."""
    example = run(EXAMPLES / "payment_service.py", server.url, ledger)
    eventually(lambda: example.process.poll() is not None or lines_of(ledger) != [], PATIENCE_SECONDS)
    assert example.process.poll() is None, example.said()
    return example


def lines_of(ledger):
    """Those that are whole."""
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_bytes().split(b"\n")[:-1]]


def charges_of(client, id):
    return [e["payload"]["paymentId"] for e in shop.events_of(client, id)
            if e["eventType"] in ("PaymentApproved", "PaymentProcessed")]


def test_the_payment_service_charges_every_order_once_also_when_it_is_killed(run, start, tmp_path):
    server = start(*FAST)
    ledger = tmp_path / "ledger.jsonl"
    with server.client(timeout=PATIENCE_SECONDS) as c:
        c.put("/simulators/payments", {"enabled": False}).is_(200)
        sku = shop.add_product(c, stock=1000)
        missed = shop.checkout(c, sku)["orderId"]  # it hears what comes from its first start on
        service = serve_payments(run, server, ledger)
        c.post(f"/orders/{missed}/pay").is_(202)
        orders = {missed: "STOCK_RESERVED"}  # id: where it comes to rest
        for life in (1, 2, 3):
            for _ in range(2):
                orders[shop.place(c, sku)["orderId"]] = "SHIPPED"
                orders[shop.checkout(c, sku)["orderId"]] = "STOCK_RESERVED"
            if life == 3:  # these were placed while it was away
                service = serve_payments(run, server, ledger)
            for id, status in orders.items():
                eventually(lambda: shop.order(c, id)["status"] == status, PATIENCE_SECONDS)
            if life == 2:
                service.process.kill()
                service.wait()
        given_back = next(id for id, status in orders.items() if status == "STOCK_RESERVED")
        shop.cancel(c, given_back).is_(200)
        eventually(lambda: shop.order(c, given_back)["refund"]["status"] == "done",
                   PATIENCE_SECONDS)
        for id in orders:
            assert charges_of(c, id) == [f"pay-{id}"]
        said = [line["id"] for line in lines_of(ledger)[1:]]
        assert sorted(said) == sorted([f"charge-{id}" for id in orders] +
                                      [f"refund-pay-{given_back}"])
    service.process.send_signal(signal.SIGINT)
    assert service.wait() == 0, service.said()
    service.leaves_nothing()
