"""Real brokers for the drivers, started as the tests of the adapters start them: on free ports, with all
that they write below one folder."""

import contextlib
import json
import signal
import struct
import sys

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "brokers"))
import amqp  # noqa: E402
import brokers  # noqa: E402
import nats  # noqa: E402

BATCH = 1000  # messages of a question to JetStream
QUEUE, BARE_QUEUE = "relayed", "bare"


class Nats:
    name = "nats"

    def __init__(self, folder):
        self.server = nats.Server(folder)
        self.port = self.server.port

    def version(self):
        return harness.first_line_of([nats.BINARY, "--version"])

    def settings(self):
        return {"url": f"nats://127.0.0.1:{self.port}"}

    def make_bare(self):
        with nats.Client(self.port) as client:
            client.stream("BARE", subjects=["bare.>"])

    def end_bare(self):
        """Takes the stream away; returns how many messages were in it."""
        with nats.Client(self.port) as client:
            n = client.count("BARE")
            client.api("STREAM.DELETE.BARE")
            return n

    def make_queue(self):
        """The relay makes its stream itself."""

    def drop_relayed(self):
        with nats.Client(self.port) as client:
            client.api("STREAM.DELETE.ORDERS")

    def count(self):
        with nats.Client(self.port) as client:
            return client.count()

    def relayed(self, n):
        """The bodies of the first n messages in the stream's order."""
        with nats.Client(self.port) as client:
            client.consumer("reader", "orders.>", ack_policy="none")
            while n > 0:
                batch = min(n, BATCH)
                client.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.reader",
                               json.dumps({"batch": batch}).encode(), reply="_INBOX.test.reader")
                for _ in range(batch):
                    subject, headers, data = client.message()
                    if not subject.startswith("orders."):
                        raise harness.WrongResult(f"JetStream says {headers} to a question for messages")
                    yield data
                n -= batch

    def end(self):
        self.server.end(signal.SIGTERM)


class RabbitMq:
    name = "rabbitmq"

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.server = brokers.RabbitServer(folder)
        self.port = self.server.port

    def version(self):
        return f"rabbitmq-server {self.server.ctl('version').decode().strip()}"

    def settings(self):
        return {"url": f"amqp://127.0.0.1:{self.port}"}

    def _make(self, exchange, queue):
        with contextlib.closing(amqp.Client(self.port)) as client:
            client.call(amqp.EXCHANGE_DECLARE, b"\0\0" + amqp.short(exchange) + amqp.short("topic") +
                        b"\2" + amqp.table({}))  # durable
            client.queue(queue, "#", exchange)

    def _count(self, queue):
        """Of those that are ready."""
        with contextlib.closing(amqp.Client(self.port)) as client:
            answer = client.call(amqp.QUEUE_DECLARE, b"\0\0" + amqp.short(queue) + b"\x02" +
                                 amqp.table({}))
            answer.short()
            return answer.number(4)

    def _delete(self, queue):
        with contextlib.closing(amqp.Client(self.port)) as client:
            client.delete(queue)

    def make_bare(self):
        self._make("bare", BARE_QUEUE)

    def end_bare(self):
        n = self._count(BARE_QUEUE)
        self._delete(BARE_QUEUE)
        return n

    def make_queue(self):
        """One that gets everything; what no queue is bound to nobody would get."""
        self._make("orders", QUEUE)

    def drop_relayed(self):
        self._delete(QUEUE)

    def count(self):
        return self._count(QUEUE)

    def relayed(self, n):
        """The bodies of the first n messages in the queue's order, which are taken out."""
        with contextlib.closing(amqp.Client(self.port)) as client, \
                client.socket.makefile("rb", 1 << 20) as stream:
            client.bytes = stream.read
            client.say(amqp.CONSUME, b"\0\0" + amqp.short(QUEUE) + amqp.short("") + b"\2" +
                       amqp.table({}))  # without acks
            client.hear((60, 21))
            for _ in range(n):
                yield self._delivered(client)

    @staticmethod
    def _delivered(client):
        kind, _, data = client.frame()
        if kind != amqp.METHOD or struct.unpack(">HH", data[:4]) != amqp.DELIVER:
            raise harness.WrongResult(f"RabbitMQ sends {data[:80]} and no message")
        _, _, head = client.frame()
        size, body = struct.unpack(">Q", head[4:12])[0], b""
        while len(body) < size:
            body += client.frame()[2]
        return body

    def end(self):
        self.server.stop()


KINDS = {kind.name: kind for kind in (Nats, RabbitMq)}


def why_not(args, name):
    """Why this broker can't be measured here; None: it can."""
    if name == "nats" and not nats.BINARY:
        return "nats-server is not here"
    if name == "rabbitmq" and not (brokers.RabbitServer.scripts / "rabbitmq-server").exists():
        return "rabbitmq-server is not here"
    for program in (f"bench_bare_{name}", f"orderly-{name}.so"):
        if not (harness.ROOT / args.build / program).exists():
            return f"{program} was not built: its library is not here"
    return None


@contextlib.contextmanager
def started(name, folder):
    broker = KINDS[name](folder)
    try:
        yield broker
    finally:
        broker.end()
