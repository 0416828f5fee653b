"""The brokers that the conformance tests are made with. Each says

    url                     of its door, which stays the same
    options                 what the server is to be started with beside --relay
    away(), back()          killed with -9 and started again with what is on its disk
    stopped(), goes_on()    SIGSTOP and SIGCONT
    deafen(), hear()        what the broker says is lost until the connections are cut
    put(topic, body, …)     a message from outside
    recorded()              what it has: a list of (message id, key, topic, body) in its order, with
                            each id as often as the broker took it in
"""
import signal

import nats
from driver import adapter
from proxy import Proxy


class Nats:
    name = "nats"
    options = ()

    def __init__(self, folder):
        adapter("nats")
        self.server = nats.Server(folder / "nats")
        self.door = Proxy(self.server.port)
        self.url = f"nats://127.0.0.1:{self.door.port}"

    def close(self):
        self.door.close()
        self.server.end()

    def away(self):
        self.door.aim(None)
        self.server.end()

    def back(self):
        self.server.start()
        self.door.aim(self.server.port)

    def stopped(self):
        self.server.send(signal.SIGSTOP)

    def goes_on(self):
        self.server.send(signal.SIGCONT)

    def deafen(self):
        self.door.mute()

    def hear(self):
        self.door.cut()
        self.door.mute(False)

    def put(self, topic, body, headers=None):
        with nats.Client(self.server.port) as c:
            c.put(f"orders.{topic}", body, headers or {})

    def recorded(self):
        with nats.Client(self.server.port) as c:
            return [(h["Nats-Msg-Id"], h["correlation-id"], subject.split(".", 1)[1], data)
                    for subject, h, data in c.read_all()]


BROKERS = {b.name: b for b in (Nats,)}
