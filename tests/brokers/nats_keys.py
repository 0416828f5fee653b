"""Keys and JWTs of NATS, as its own tools would make them, for a server that knows its users by
these alone: an operator, its accounts, and files of credentials of their users.

The keys are of Ed25519, by libsodium, which Orderly needs anyway."""
import base64
import ctypes
import ctypes.util
import json
import os

import pytest

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
EVERYTHING = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True,
              "conn": -1, "leaf": -1}
STORAGE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


def sodium():
    name = ctypes.util.find_library("sodium")
    if not name:
        pytest.skip("libsodium is not found")
    library = ctypes.CDLL(name)
    assert library.sodium_init() >= 0
    return library


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xffff
    return crc.to_bytes(2, "little")


def base32(data):
    return base64.b32encode(data + crc16(data)).decode().rstrip("=")


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    def __init__(self, kind):
        self.kind = kind
        self.library = sodium()
        self.raw = os.urandom(32)
        public, self.secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        self.library.crypto_sign_seed_keypair(public, self.secret, self.raw)
        self.public = base32(bytes([kind]) + public.raw)

    def seed(self):
        return base32(bytes([SEED | self.kind >> 5, (self.kind & 31) << 3]) + self.raw)

    def sign(self, text):
        signature = ctypes.create_string_buffer(64)
        self.library.crypto_sign_detached(signature, None, text.encode(),
                                          ctypes.c_ulonglong(len(text)), self.secret)
        return signature.raw

    def jwt(self, of, kind, **claims):
        """That this key says of another."""
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"},
                 {"jti": of.public, "iat": 1700000000, "iss": self.public, "name": kind,
                  "sub": of.public, "nats": {"type": kind, "version": 2, **claims}}]
        text = ".".join(base64url(json.dumps(p).encode()) for p in parts)
        return f"{text}.{base64url(self.sign(text))}"


class Operator:
    """config: of a server that knows these accounts and nobody else."""

    def __init__(self):
        self.key, self.account, self.system = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT)
        accounts = {self.account: {**EVERYTHING, **STORAGE}, self.system: EVERYTHING}
        preload = "\n".join(f'{a.public}: "{self.key.jwt(a, "account", limits=limits)}"'
                            for a, limits in accounts.items())
        self.config = (f'operator: "{self.key.jwt(self.key, "operator")}"\n'
                       f"system_account: {self.system.public}\nresolver: MEMORY\n"
                       f"resolver_preload: {{\n{preload}\n}}\n")

    def credentials(self, path, **claims):
        """Writes the file of a new user."""
        user = Key(USER)
        jwt = self.account.jwt(user, "user", subs=-1, data=-1, payload=-1,
                               **{"pub": {}, "sub": {}, **claims})
        path.write_text(f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
                        f"-----BEGIN USER NKEY SEED-----\n{user.seed()}\n"
                        "------END USER NKEY SEED------\n")
        path.chmod(0o600)
        return path
