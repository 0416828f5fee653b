"""What an operator says wrongly of a relay is told at the start, by the option's name; and what may be
said is the same in the page, in the help and in what is taken."""
import re
import subprocess

import pytest

from conftest import BINARY, ROOT, clean_environment

USAGE, CONFIG = 64, 78
URLS = {"nats": "nats://127.0.0.1:1", "kafka": "kafka://127.0.0.1:1", "rabbitmq": "amqp://127.0.0.1:1"}


def refused(tmp_path, code, *args, env=None):
    done = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "data", *args],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env=clean_environment(env))
    assert done.returncode == code and not done.stdout, done
    return done.stderr.splitlines()


@pytest.mark.parametrize("urls", [["nats://a,nats://b"], ["nats://a", "tls://b"],
                                  ["nats://a", "kafka://c", "nats://b"]])
def test_two_relays_of_one_kind_are_refused_however_they_are_said(tmp_path, urls):
    lines = refused(tmp_path, CONFIG, *[w for url in urls for w in ("--relay", url)],
                    f"--set=relay.modules={tmp_path}")
    assert [line for line in lines if "adapter" not in line] == [
        "orderly: --relay: there is one relay for each kind of broker, and --relay names one for nats "
        "already"]


@pytest.mark.parametrize("kind, prefix", [("nats", "ce "), ("nats", "ce:"), ("nats", "é"), ("kafka", 'ce"'),
                                          ("rabbitmq", "a/b")])
def test_a_prefix_that_no_header_can_have_is_refused(tmp_path, kind, prefix):
    line, = refused(tmp_path, USAGE, f"--set=relay.{kind}.attribute_prefix=x{prefix}x")
    assert f"relay.{kind}.attribute_prefix: 'x{prefix}x': must be of letters, digits, " in line


@pytest.mark.parametrize("kind", URLS)
def test_a_prefix_has_at_most_32_characters(tmp_path, kind):
    option = f"relay.{kind}.attribute_prefix"
    line, = refused(tmp_path, USAGE, f"--set={option}={'x' * 33}")
    assert f"{option}: '{'x' * 33}': must be" in line
    # A shorter one is no reason to go no further than to the adapter, which is not in this folder.
    colon = ":" if kind != "nats" else "_"
    line, = refused(tmp_path, CONFIG, "--relay", URLS[kind], f"--set={option}={'x' * 31}{colon}",
                    f"--set=relay.modules={tmp_path}")
    assert f"there is no adapter {tmp_path}/orderly-{kind}.so" in line


@pytest.mark.parametrize("kind, option", [("nats", "password"), ("nats", "token"), ("kafka", "password"),
                                          ("rabbitmq", "password")])
def test_a_secret_is_said_once(tmp_path, kind, option):
    path = tmp_path / "secret"
    path.write_text("in-the-file\n")
    path.chmod(0o600)
    line, = refused(tmp_path, CONFIG, "--relay", URLS[kind], f"--set=relay.{kind}.{option}_file={path}",
                    f"--set=relay.modules={tmp_path}",
                    env={f"ORDERLY_RELAY_{kind}_{option}".upper(): "in-the-environment"})
    assert f"relay.{kind}.{option}_file: '{path}': the environment has the secret itself, too" in line
    assert "in-the" not in line


# ---- the page, the help, and what is taken

PAGE = ROOT / "docs" / "integration.md"


def options_of_the_help():
    """{option: what holds where nothing is said}, as the help has them, with K for the kind of broker."""
    done = subprocess.run([BINARY, "help", "serve"], capture_output=True, text=True, timeout=60,
                          env=clean_environment())
    assert done.returncode == 0
    rows = re.findall(r"^  (relay\.\S+) = ?(\S*)", done.stdout, re.M)
    assert len(rows) == len(dict(rows))
    return dict(rows), done.stdout


def options_of_the_page():
    """The same, as the page's table has them, and the table."""
    table = re.search(r"\n### Options\n.*?\n\|---.*?\n(.*?)\n\n", PAGE.read_text(), re.S)[1]
    options = {}
    for row in table.splitlines():
        names, values, _ = (cell.strip() for cell in row.strip("|").split("|", 2))
        names = re.findall(r"`(relay\.[^`]+)`", names)
        values = re.findall(r"`([^`]*)`", values) if len(names) > 1 else re.findall(r"^`([^`]*)`$", values)
        assert len(values) in (0, len(names)), row
        for i, name in enumerate(names):
            assert name not in options, name
            options[name] = values[i] if values else ""
    return options, table


def test_the_page_has_the_options_of_the_help_with_the_same_defaults():
    told, page = options_of_the_help()[0], options_of_the_page()[0]
    assert len(told) > 15
    assert page == told


def test_the_page_and_the_help_name_the_same_variables():
    assert set(re.findall(r"ORDERLY_RELAY_(?:K|NATS)_(?:PASSWORD|TOKEN)", options_of_the_help()[1])) == \
        set(re.findall(r"ORDERLY_RELAY_K_PASSWORD|ORDERLY_RELAY_NATS_TOKEN", options_of_the_page()[1])) == \
        {"ORDERLY_RELAY_K_PASSWORD", "ORDERLY_RELAY_NATS_TOKEN"}


def test_every_option_of_the_page_is_taken_for_every_kind_and_nothing_else(tmp_path):
    """As lines of the file: one that is no option is the only one that is complained about."""
    given = {"group": "shop", "user": "me", "attribute_prefix": "x-"}
    lines = []
    for name, default in options_of_the_page()[0].items():
        last = name.split(".")[-1]
        for kind in URLS if ".K." in name else ("nats",):
            value = URLS[kind] if last == "url" else default or given.get(last, "/there/is/nothing")
            lines.append(f"{name.replace('.K.', f'.{kind}.')} = {value}")
    assert len(lines) > 3 * 15
    path = tmp_path / "orderly.conf"
    path.write_text("\n".join([*lines, "relay.nats.nothing = 1"]) + "\n")
    line, = refused(tmp_path, CONFIG, "--config", str(path))
    assert f"{path}:{len(lines) + 1}: " in line and "relay.nats.nothing" in line
