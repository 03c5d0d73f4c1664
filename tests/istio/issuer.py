"""An issuer of JWTs: keeps a key, shows its public half over https, signs what it is told."""

import base64
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.cluster.certificates import https_server


class Issuer:
    """`url` is what it calls itself; the keys are at `jwks_uri` once it has been started."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._server, _ = https_server(_handler(json.dumps(self._jwks()).encode()))

    @property
    def jwks_uri(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/keys"

    def start(self) -> Callable[[], None]:
        """Begin to answer; returns what ends it."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)

        return stop

    def token(self, subject: str, seconds: int = 600, **claims: Any) -> str:
        """A JWT (RS256) that is good for so many seconds from now."""
        now = int(time.time())
        content = {"iss": self.url, "sub": subject, "iat": now - 60, "exp": now + seconds, **claims}
        signed = f"{_encoded({'alg': 'RS256', 'kid': 'one', 'typ': 'JWT'})}.{_encoded(content)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def _jwks(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "kid": "one",
                    "alg": "RS256",
                    "use": "sig",
                    "n": _base64(numbers.n.to_bytes(256, "big")),
                    "e": _base64(numbers.e.to_bytes(3, "big")),
                }
            ]
        }


def _handler(keys: bytes) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    return Answering


def _encoded(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
