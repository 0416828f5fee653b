"""What an operator says wrongly of a relay is told at the start, by the option's name."""
import subprocess

import pytest

from conftest import BINARY, clean_environment

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
