"""The README's commands are run, in their order, against one server; what each prints is what the
page says, but for ids, times and generated numbers."""
import os
import re
import subprocess

import pytest

from client import eventually
from conftest import BINARY, ROOT, clean_environment

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# A time of another day has that day before it: shortly before midnight the tour's deadlines do.
CLOCK = re.compile(r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC")
TRACKING = re.compile(r"TRK-[0-9A-Z]+")
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


def plain(text):
    for pattern, name in ((UUID, "<id>"), (TIME, "<time>"), (CLOCK, "<clock>"), (TRACKING, "<tracking>")):
        text = pattern.sub(name, text)
    return text.strip()


@pytest.fixture(scope="module")
def page():
    return (ROOT / "README.md").read_text()


class Shell:
    """One shell for all commands, so that variables live on; with the program on its path."""

    def __init__(self, folder, data):
        path = f"{os.path.dirname(os.path.abspath(BINARY))}:{os.environ['PATH']}"
        self.process = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, cwd=folder,
                                        env=clean_environment({"PATH": path, "ORDERLY_DATA": data}))

    def run(self, commands):
        mark = "-- the end of it --"
        self.process.stdin.write(f"{commands}\necho '{mark}'\n")
        self.process.stdin.flush()
        lines = []
        while not (line := self.process.stdout.readline()).startswith(mark):
            assert line, "the shell has gone"
            lines.append(line)
        return "".join(lines)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def test_every_command_does_what_the_page_says(start, tmp_path, page):
    server = start("--demo")
    shell = Shell(tmp_path, str(server.folder / "data"))
    blocks = BLOCK.findall(page)
    assert len(blocks) >= 6
    try:
        for commands, printed in blocks:
            assert printed, f"what does this print?\n{commands}"
            commands = commands.replace("127.0.0.1:8080", f"{server.host}:{server.port}")

            def check():
                assert plain(shell.run(commands)) == plain(printed)
            if "--json" in commands or "umask" in commands:
                check()
            else:
                eventually(check)  # what only reads may be asked until it has come about
    finally:
        shell.close()


def test_the_token_file_of_the_page_is_taken(start, tmp_path, page):
    commands = [c for c, _ in BLOCK.findall(page) if "> tokens" in c][0]
    subprocess.run(["sh", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
    server = start("--token-file", str(tmp_path / "tokens"))
    tokens = dict(line.split()[:2] for line in (tmp_path / "tokens").read_text().splitlines())
    with server.client(token=tokens["operator"]) as client:
        client.get("/events").is_(200)
    with server.client(token=tokens["customer"]) as client:
        client.get("/events").problem(403, "forbidden")


def test_what_the_page_points_at_is_there(page):
    for path in re.findall(r"`((?:src|include|bench|tests|third_party)/[a-z_/]+(?:\.[a-zA-Z]+)?)`", page):
        assert (ROOT / path).exists(), path


def test_every_row_of_the_api_is_answered(client, page):
    table = page[page.index("## The API"):page.index("### Try the failures")]
    table = table.replace("{payments,inventory,shipments}", "payments")
    paths = set(re.findall(r"`(?:GET|POST|PUT|PATCH|DELETE) (/[a-zA-Z{}/-]+)", table))
    paths |= set(re.findall(r"`, `(/[a-z]+)`", table))
    assert len(paths) > 20
    for path in paths:
        known = re.sub(r"\{[a-zA-Z]+\}", "x", path)
        assert client.request("OPTIONS", known).status in (200, 204), path


def test_the_log_names_the_contexts_that_are_built_in_and_options_do_not_change_them_later(start, tmp_path):
    data = ("--data", str(tmp_path / "data"))
    for option, expected in (("false", "inventory,shipments"), ("true", "inventory,shipments")):
        server = start(*data, "--set", f"simulators.payments.enabled={option}")
        eventually(lambda: _built_in(server, expected))
        server.stop()


def _built_in(server, expected):
    assert re.search(rf" event=listening .* built_in={re.escape(expected)}$", server.log(), re.M), server.log()
