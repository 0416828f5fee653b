"""Kafka: librdkafka's mock brokers. They have no disk: where their process ends all is gone, which no
broker's promise is about. So 'away' is that it closes all connections and refuses new ones, and keeps
its memory. They know producers' ids, but drop no repeats, so that each is in what is recorded; nothing
here is about transactions. To join a group takes three seconds of theirs, and one whose member was
killed lets the next one in when the member's session is over, after ten.

A client goes where the brokers say that they are, past any door; so lost acknowledgements are the
mock's own doing: it takes what it is sent, and holds its answers back until connections are cut."""
import os
import signal

from brokers import KafkaMock
from driver import adapter
from tried import Broker

PARTITIONS = 4
OURS = "put-by"  # a header that only what was put has


class Kafka(Broker):
    name = "kafka"
    promises = Broker.promises | {"remembers"}

    def __init__(self, folder):
        adapter("kafka")
        self.mock = KafkaMock()
        self.url = f"kafka://{self.mock.address}"
        self.is_down = self.is_stopped = False

    def close(self):
        self.mock.stop()

    def open(self, channel):
        self.mock.do("topic", channel, PARTITIONS)

    def away(self):
        self.mock.do("down")
        self.is_down = True

    def back(self):
        self.mock.do("up")
        self.is_down = False

    def stopped(self):
        self.mock.process.send_signal(signal.SIGSTOP)
        # Its threads go on until one of them was there to hear it.
        _, status = os.waitpid(self.mock.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        self.is_stopped = True

    def goes_on(self):
        self.mock.process.send_signal(signal.SIGCONT)
        self.is_stopped = False

    def deafen(self):
        self.mock.do("deaf")

    def hear(self):
        self.away()
        self.back()

    def restore(self):
        if self.is_stopped:
            self.goes_on()
        if self.is_down:
            self.back()

    def put(self, channel, topic, body, headers=None, key=None):
        names = {name.replace("ce-", "ce_"): value for name, value in (headers or {}).items()}
        self.mock.put(channel, key, body, {"topic": topic, **names, OURS: "test"})

    def recorded(self, channel):
        return [(headers.get("message-id"), key, headers["topic"], body)
                for _, _, key, body, headers in self.mock.read(channel)]

    def left(self, channel):
        places = [0 if place == "-" else int(place)
                  for place in self.mock.do("committed", channel, channel)]
        return sum(OURS in headers and offset >= places[partition]
                   for partition, offset, _, _, headers in self.mock.read(channel))
