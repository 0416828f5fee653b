"""RabbitMQ: a node with its files on disk, behind a proxy. A channel is an exchange; a queue beside it
hears all of it, from before a server knows of it, and what was read from that queue is kept here."""
import signal

from amqp import ACK, Client
from brokers import RabbitServer
from driver import adapter
from proxy import Proxy
from tried import Broker


class RabbitMq(Broker):
    name = "rabbitmq"
    promises = Broker.promises | {"alarms"}

    def __init__(self, folder):
        adapter("rabbitmq")
        self.node = RabbitServer(folder)
        self.door = Proxy(self.node.port)
        self.url = f"amqp://127.0.0.1:{self.door.port}"
        self.kept = {}
        self.is_alarmed = False

    def close(self):
        self.door.close()
        self.node.stop()

    def open(self, channel):
        self.kept[channel] = []
        client = Client(self.node.port)
        client.exchange(channel)
        client.queue(f"{channel}.recorded")
        client.bind_anew(f"{channel}.recorded", "#", channel)
        client.close()

    def away(self):
        self.door.aim(None)
        self.node.stop()

    def back(self):
        """Before anybody can send again: once in some forty times, a node that is killed within seconds
        of a binding comes back with exchange, queue and messages, and without the binding. It is the
        test's own, and nothing that anybody else has promised."""
        self.node.start()
        client = Client(self.node.port)
        for channel in self.kept:
            client.exchange(channel)
            client.bind_anew(f"{channel}.recorded", "#", channel)
        client.close()
        self.door.aim(self.node.port)

    def stopped(self):
        self.node.signal(signal.SIGSTOP)

    def goes_on(self):
        self.node.signal(signal.SIGCONT)

    def deafen(self):
        self.door.mute()

    def hear(self):
        self.door.cut()
        self.door.mute(False)

    def alarm(self):
        self.is_alarmed = True
        self.node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def calm(self):
        self.node.ctl("set_vm_memory_high_watermark", "0.4")
        self.is_alarmed = False

    def restore(self):
        if not self.node.is_running():
            self.node.stop()
            self.back()
        self.goes_on()
        if self.door.is_mute:
            self.hear()
        if self.is_alarmed:
            self.calm()

    def put(self, channel, topic, body, headers=None, key=None):
        given = dict(headers or {})
        more = {ours: given.pop(name) for name, ours in
                (("message-id", "message_id"), ("content-type", "content_type")) if name in given}
        attributes = {name.replace("ce-", "cloudEvents_", 1): value for name, value in given.items()}
        client = Client(self.node.port)
        client.confirm()
        client.publish(topic, body, channel, delivery_mode=2, headers=attributes, **more)
        client.hear(ACK)
        client.close()

    def recorded(self, channel):
        client = Client(self.node.port)
        for topic, has, body in client.take_all(f"{channel}.recorded"):
            self.kept[channel].append((has.get("message_id"), has.get("correlation_id"), topic, body))
        client.close()
        return list(self.kept[channel])

    def left(self, channel):
        client = Client(self.node.port)
        count = client.count(channel)
        client.close()
        return count
