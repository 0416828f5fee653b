"""NATS JetStream: nats-server behind a door. It drops what comes with an id that it has had within two
minutes, so that repeats are not in what is recorded; the server's own count of what it published tells
them. Between the patterns that are listened to no order is kept, within each it is."""
import json
import signal

import nats
from driver import adapter
from proxy import Proxy
from tried import Broker, metric


class Nats(Broker):
    name = "nats"
    promises = Broker.promises | {"remembers"}

    def __init__(self, folder):
        adapter("nats")
        self.server = nats.Server(folder / "nats")
        self.door = Proxy(self.server.port)
        self.url = f"nats://127.0.0.1:{self.door.port}"
        self.is_away = False

    def close(self):
        self.door.close()
        self.server.end()

    def away(self):
        self.door.aim(None)
        self.server.end()
        self.is_away = True

    def back(self):
        self.server.start()
        self.door.aim(self.server.port)
        self.is_away = False

    def stopped(self):
        self.server.send(signal.SIGSTOP)

    def goes_on(self):
        self.server.send(signal.SIGCONT)

    def deafen(self):
        self.door.mute()

    def hear(self):
        self.door.cut()
        self.door.mute(False)

    def restore(self):
        if self.is_away:
            self.back()
        self.goes_on()
        if self.door.is_mute:
            self.hear()

    def put(self, channel, topic, body, headers=None, key=None):
        names = {"message-id": "Nats-Msg-Id"}
        with nats.Client(self.server.port) as c:
            c.put(f"{channel}.{topic}", body,
                  {names.get(name, name): value for name, value in (headers or {}).items()})

    def recorded(self, channel):
        with nats.Client(self.server.port) as c:
            return [(h.get("Nats-Msg-Id"), h.get("correlation-id"), subject.split(".", 1)[1], data)
                    for subject, h, data in c.read_all(channel.upper())]

    def repeats(self, channel, client):
        published, acked = (metric(client, f'relay_messages_total{{relay="nats",outcome="{o}"}}')
                            for o in ("published", "acked"))
        return published - acked

    def left(self, channel):
        stream = channel.upper()
        with nats.Client(self.server.port) as c:
            names = c.api(f"CONSUMER.NAMES.{stream}")["consumers"] or []
            consumers = [c.api(f"CONSUMER.INFO.{stream}.{name}") for name in names
                         if name.startswith(channel)]
            assert consumers, names
            return sum(k["num_pending"] + k["num_ack_pending"] for k in consumers)
