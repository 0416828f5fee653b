#!/usr/bin/env python3
"""A payment service outside of Orderly, which charges every order once.

    curl -X PUT http://127.0.0.1:8080/simulators/payments --json '{"enabled":false}'
    examples/payment_service.py http://127.0.0.1:8080 ledger.jsonl

It hears by the stream of messages, charges an order when its flow wants that, gives back what Orders
says has to go back, and answers with messages of its own. "Charging" is a line in its ledger, which
is on the disk before anything is said about it. The ledger is all that it knows after a kill: what is
in it is never done again, its last lines are told again (with the same messageId, so saying it twice
changes nothing), and the stream goes on behind the message that the last line came from.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import queue
import sys
import threading
import time
import urllib.parse

CHARGE_ON = {"order.placed": "pay_first", "order.confirmed": "stock_first"}
ANSWER = {"pay_first": "payment.approved", "stock_first": "payment.processed"}
GIVE_BACK_ON = ("order.cancelled", "order.rejected", "order.refund_requested")
AT_ONCE = 64  # messages that are heard before an fsync, and lines that are told again after a kill


class Ledger:
    def __init__(self, path):
        self.file = open(path, "a+b")
        self.file.seek(0)
        text = self.file.read()
        whole = text.rfind(b"\n") + 1  # a line that a kill cut short was never told
        self.file.truncate(whole)
        self.lines = [json.loads(line) for line in text[:whole].splitlines()]
        self.done = {line["id"] for line in self.lines}

    def write(self, lines):
        try:
            self.file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as e:  # nobody knows what is in it: the next start looks
            print(f"the ledger can't be written: {e}", file=sys.stderr, flush=True)
            os._exit(1)
        self.lines += lines


def code_of(problem):
    """What it is called: the rest differs from one to the next."""
    try:
        return json.loads(problem)["code"]
    except (ValueError, KeyError, TypeError):
        return ""


class Service:
    def __init__(self, server, ledger, after):
        self.host, self.ledger, self.after = urllib.parse.urlsplit(server).netloc, ledger, after
        self.speakers = concurrent.futures.ThreadPoolExecutor(8)
        self.own = threading.local()  # each speaker's connection
        self.trouble, self.lock = "", threading.Lock()

    def run(self):
        """For ever: whatever breaks off is taken up again."""
        while True:
            try:
                self.tell(self.ledger.lines[-AT_ONCE:])
                self.listen()
            except (OSError, http.client.HTTPException) as e:
                self.say(f"{self.host}: {e or type(e).__name__}; trying again")
                time.sleep(0.05)

    def say(self, trouble):
        """What keeps it from going on, once for each reason; "" when it goes on."""
        with self.lock:
            if trouble != self.trouble:
                self.trouble = trouble
                print(trouble or f"{self.host}: goes on", file=sys.stderr, flush=True)

    # ---- hearing

    def listen(self):
        start = self.ledger.lines[-1]["heard"] if self.ledger.lines else self.after
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("GET", "/messages/stream?topic=order.*",
                           headers={"Last-Event-ID": start} if start else {})
        stream = connection.getresponse()
        if stream.status == 503:
            raise ConnectionError(f"503 {code_of(stream.read())}")
        if stream.status != 200:
            sys.exit(f"{stream.status}: {stream.read().decode()}")
        self.say("")
        if not self.ledger.lines:
            self.ledger.write([{"id": "begin", "heard": stream.headers["Last-Event-ID"]}])
        heard = queue.Queue(AT_ONCE)
        threading.Thread(target=self.read, args=(stream, heard), daemon=True).start()
        while True:
            messages = [heard.get()]
            while len(messages) < AT_ONCE and not heard.empty():
                messages.append(heard.get())
            lines = [line for m in messages if m for line in self.decide(*m)]
            if lines:
                self.ledger.write(lines)
                self.tell(lines)
            if messages[-1] is None:
                raise ConnectionError("the stream has ended")

    def read(self, stream, heard):
        """Each message with its id; None at the end."""
        id = None
        try:
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    id = value
                elif name == "data" and id:
                    heard.put((id, json.loads(value)))
        except (OSError, ValueError, http.client.HTTPException):
            pass
        heard.put(None)

    # ---- deciding

    def decide(self, heard, message):
        """The lines of the ledger that follow from a message: one, or none."""
        topic, p = message["topic"], message["payload"]
        order, payment = p["orderId"], f"pay-{p['orderId']}"
        if topic == "order.payment_requested" or CHARGE_ON.get(topic) == p["flow"]:
            yield from self.once(heard, f"charge-{order}", ANSWER[p["flow"]], order, payment,
                                 p["totalAmount" if topic == "order.placed" else "amount"],
                                 p["currency"])
        elif topic in GIVE_BACK_ON:
            refund = p if topic == "order.refund_requested" else p["refund"]
            if refund and refund["paymentId"] == payment:  # what others charged is theirs
                yield from self.once(heard, f"refund-{payment}", "payment.refunded", order, payment,
                                     refund["amount"], refund["currency"])

    def once(self, heard, id, topic, order, payment, amount, currency):
        if id not in self.ledger.done:
            self.ledger.done.add(id)
            yield {"id": id, "heard": heard, "topic": topic, "payload": {
                "orderId": order, "paymentId": payment, "amount": amount, "currency": currency}}

    # ---- speaking

    def tell(self, lines):
        """Until Orderly has them all."""
        list(self.speakers.map(self.tell_one, lines))
        self.say("")

    def tell_one(self, line):
        if "topic" not in line:
            return
        body = json.dumps({"messageId": line["id"], "payload": line["payload"]})
        while True:
            status, retry_after, text = self.post(f"/messages/{line['topic']}", body)
            if status < 500:
                break
            self.say(f"{self.host}: {status} {code_of(text)}; trying again")
            time.sleep(float(retry_after or 1))
        if status != 202:  # refused for good: for a person to look at
            print(f"{line['id']}: {status} {text}", file=sys.stderr, flush=True)

    def post(self, path, body):
        if not getattr(self.own, "connection", None):
            self.own.connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            self.own.connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = self.own.connection.getresponse()
            return answer.status, answer.headers["Retry-After"], answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.own.connection.close()
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", help="http://HOST:PORT")
    parser.add_argument("ledger", help="its file; made where it is missing")
    parser.add_argument("--after", metavar="ID", help="with a new ledger: hear what came behind "
                        "this id of the stream; without it, what comes from now on")
    args = parser.parse_args()
    Service(args.server, Ledger(args.ledger), args.after).run()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)  # as by kill -9: there is nothing to put in order
