"""Bytes as an attacker sends them, and what must come of it."""
from client import Raw

JSON = "Content-Type: application/json"


def head(line, *fields, host="localhost"):
    """A request's head; host=None leaves Host out."""
    own = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([line, *own, *fields, "", ""])


def bytes_of(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def exchange(server, data, finish=False, timeout=60):
    """All answers that come to these bytes, and whether the server ended the connection by itself.

    A request for /livez goes behind, where the connection lives on, as the mark of the end."""
    data = bytes_of(data)
    answers = []
    with Raw(server, timeout=timeout) as raw:
        try:
            raw.send(data)
            if finish:
                raw.finish()
        except ConnectionError:
            pass  # refused before it was all sent
        while True:
            try:
                answers.append(raw.answer())
            except (EOFError, ConnectionError):
                assert not raw.buffer, f"half an answer: {raw.buffer[:200]!r}"
                return answers, True
            if answers[-1].headers["Connection"] == "close":
                assert raw.is_closed(timeout), "said close, and did not"
                return answers, True


def refused(server, data, status, code):
    """The one answer is this problem, and the connection ends with it."""
    answers, _ = exchange(server, data)
    told = [(a.status, a.json.get("code")) for a in answers]
    assert told == [(status, code)], told
    answers[0].problem(status, code)
    return answers[0]
