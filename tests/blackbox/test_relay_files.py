"""Files that a relay's options name and that can't be used end the start, each with its option and
its path. No broker is asked."""
import os
import subprocess

import pytest

from conftest import BINARY, clean_environment

EX_CONFIG = 78
URLS = {"nats": "tls://127.0.0.1:1", "kafka": "kafka+tls://127.0.0.1:1",
        "rabbitmq": "amqps://127.0.0.1:1"}


def refused(tmp_path, kind, options):
    words = [w for name, path in options.items() for w in ("--set", f"relay.{kind}.{name}={path}")]
    result = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data",
                             str(tmp_path / "data"), "--relay", URLS[kind], *words],
                            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                            env=clean_environment())
    assert result.returncode == EX_CONFIG, result
    return result.stderr


@pytest.mark.parametrize("kind", URLS)
def test_every_file_that_is_not_there_is_named_with_its_option(tmp_path, kind):
    options = ["tls_ca", "tls_certificate", "tls_key", "password_file"]
    options += ["token_file", "credentials_file"] if kind == "nats" else []
    stderr = refused(tmp_path, kind, {name: tmp_path / f"no-{name}" for name in options})
    for name in options:
        line, = [l for l in stderr.splitlines() if f"relay.{kind}.{name}" in l]
        assert f"'{tmp_path}/no-{name}'" in line and "No such file" in line


def test_files_that_are_something_else_are_named_with_what_is_wrong(tmp_path):
    def made(name, text, mode=0o600):
        path = tmp_path / name
        path.write_text(text)
        os.chmod(path, mode)
        return path
    secret = "s3cret-that-nobody-sees"
    key = f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"
    stderr = refused(tmp_path, "nats", {
        "tls_ca": made("ca", "none at all"),
        "tls_certificate": made("certificate", "-----BEGIN CERTIFICATE-----\nMAMC"),
        "tls_key": made("key", key, 0o644),
        "credentials_file": made("creds", secret), "token_file": made("token", "\n"),
        "password_file": made("password", secret, 0o640)})
    for name, path, what in (("tls_ca", "ca", "holds no certificate"),
                             ("tls_certificate", "certificate", "has no end"),
                             ("tls_key", "key", "mode is 0644"),
                             ("credentials_file", "creds", "does not hold"),
                             ("token_file", "token", "first line is empty"),
                             ("password_file", "password", "mode is 0640")):
        assert f"relay.nats.{name}: '{tmp_path}/{path}': " in stderr and what in stderr
    assert secret not in stderr
    os.chmod(tmp_path / "key", 0o600)
    assert "is damaged" in refused(tmp_path, "nats", {"tls_key": tmp_path / "key"})
