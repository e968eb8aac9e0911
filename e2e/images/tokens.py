# SPDX-License-Identifier: Apache-2.0
"""A token server as the registry's third port asks for: docs of distribution, "Token Authentication".

GET /token?service=...&scope=repository:NAME:pull answers with a signed token. Without a user it grants pull
of every repository but those under private/, which need the lab's user and password.
"""

import base64
import json
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from . import PASSWORD, USER

ISSUER, SERVICE = "lab", "lab-registry"
LIFETIME = 24 * 3600


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """Signs tokens with the key whose certificate the registry trusts."""

    def __init__(self, keys):
        with open(f"{keys}/token.key", "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)
        with open(f"{keys}/token.crt", "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        self.x5c = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()

    def token(self, account, access):
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.x5c]}
        # An hour of grace: dom0's clock and the host's are not the same.
        claims = {"iss": ISSUER, "sub": account, "aud": SERVICE, "exp": now + LIFETIME, "nbf": now - 3600, "iat": now,
                  "jti": uuid.uuid4().hex, "access": access}
        body = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{body}.{_b64(signature)}"


class Handler(BaseHTTPRequestHandler):
    """Answers requests for tokens; `signer` is set by serve.py. `requests` counts them, for tests."""

    protocol_version = "HTTP/1.1"
    signer = None

    def account(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return ""
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user if (user, password) == (USER, PASSWORD) else None

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        account = self.account()
        if account is None:
            self.answer(401, {"details": "wrong user or password"})
            return
        access = []
        for scope in query.get("scope", []):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if "pull" in actions.split(",") and (account or not name.startswith("private/")):
                access.append({"type": kind, "name": name, "actions": ["pull"]})
        self.answer(200, {"token": self.signer.token(account, access), "expires_in": LIFETIME})

    def answer(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "dom0"
