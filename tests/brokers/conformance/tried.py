"""The roads that the conformance tests are made with: brokers, and what a server does without one.

Each is a class of its own, in a file tried_NAME.py of this folder, which is found by its name. It is
started once and shared by all tests; each test has a channel of its own on it, so that nothing of one
is another's. What a class has to have is in Broker; what it does not promise, it leaves out of
`promises`, and the tests of that are not collected for it.
"""
import importlib
import pathlib

# A test that is marked with promise("…") is made with the brokers that have it.
PROMISES = {
    "relay": "the server has a relay to it: options, metrics and dead letters by its name",
    "keeps": "it keeps what it was given from outside until the server has acknowledged it, and gives it "
             "again; what can't be read is a dead letter, since nobody is there to be told",
    "remembers": "who begins to listen hears what was said before, too",
    "alarms": "it can run short of room, says so, and takes nothing until it has some: alarm() and calm()",
    "tells": "who sends is told at once: what can't be read is refused to him, who still has it",
}


def metric(client, name):
    """Of /metrics; without orderly_."""
    for line in client.get("/metrics").is_(200).body.decode().splitlines():
        if line.startswith(f"orderly_{name} "):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no {name}")


class Broker:
    """One that runs, and knows any number of channels by their names. A name has small letters, digits
    and '-', is short, and can be the name of a group, too."""

    name = ""  # in the names of tests; of a relay that of its options, metrics and dead letters
    url = ""   # of a door that stays the same while the broker goes and comes
    promises = frozenset({"relay", "keeps"})

    def __init__(self, folder):
        """Starts it with all that it writes below the folder. Skips aloud where it is not installed."""

    def close(self):
        raise NotImplementedError

    # ---- of servers

    def open(self, channel):
        """Called once for each channel, before its first server starts."""

    def options(self, channel):
        """What a server is started with."""
        return ["--relay", self.url, f"--set=relay.{self.name}.channel={channel}",
                f"--set=relay.{self.name}.group={channel}"]

    def joined(self, channel, server):
        """Called for each server of the channel that has started."""

    def is_heard(self, client):
        """Whether the server says that it is there."""
        return metric(client, f'relay_connected{{relay="{self.name}"}}') == 1

    # ---- its life, and what is done to it

    def away(self):
        """Gone, with all connections: killed with -9 where it has a disk. Where it has none, its memory
        outlives this, and the class says so."""
        raise NotImplementedError

    def back(self):
        """Started again, with what it had."""
        raise NotImplementedError

    def stopped(self):
        """By SIGSTOP: connections stay, nothing is said or taken."""
        raise NotImplementedError

    def goes_on(self):
        raise NotImplementedError

    def deafen(self):
        """It takes what it is given, but what it says of that is lost."""
        raise NotImplementedError

    def hear(self):
        """Connections are cut, and what it says after that arrives."""
        raise NotImplementedError

    def restore(self):
        """There, running and heard, whatever the test before has left undone. Called after each."""
        raise NotImplementedError

    # ---- what is in it

    def put(self, channel, topic, body, headers=None, key=None):
        """A message from outside, as others send it: any bytes. headers: `message-id`, `content-type`
        and CloudEvents' attributes as `ce-NAME`, which become the broker's own. Without a message-id it
        has none for the broker, which then takes no second one for a repeat. key: the order's, where
        the broker keeps order by one. Returns when the broker has it; what promises `tells` returns
        the HTTP answer."""
        raise NotImplementedError

    def recorded(self, channel):
        """All that it has, what was put too: a list of (message id, key, topic, body), of each key in
        its order. A message that was taken in twice is there twice, but where the broker knows
        repeats by their ids and drops them (NATS). Not called while it is away or stopped."""
        raise NotImplementedError

    def repeats(self, channel, client):
        """How many messages were taken in again, as far as it or the server tells."""
        ids = [m[0] for m in self.recorded(channel)]
        return len(ids) - len(set(ids))

    def left(self, channel):
        """How many of those that were put the group has not acknowledged: what would come again. Asked
        while no server has the channel."""
        raise NotImplementedError


class Channel:
    """A name on a broker, with the broker's verbs."""

    def __init__(self, broker, name):
        self.broker, self.name = broker, name
        broker.open(name)

    def options(self):
        return self.broker.options(self.name)

    def joined(self, server):
        self.broker.joined(self.name, server)

    def put(self, topic, body, headers=None, key=None):
        return self.broker.put(self.name, topic, body, headers, key)

    def recorded(self):
        return self.broker.recorded(self.name)

    def repeats(self, client):
        return self.broker.repeats(self.name, client)

    def left(self):
        return self.broker.left(self.name)


def gather():
    """By name: the classes of all files beside this one."""
    found = {}
    for path in sorted(pathlib.Path(__file__).resolve().parent.glob("tried_*.py")):
        module = importlib.import_module(path.stem)
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, Broker) and each.__module__ == path.stem:
                assert each.promises <= set(PROMISES), each
                found[each.name] = each
    return found
