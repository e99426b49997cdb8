"""An OpenID Connect provider on this machine, as small as the standard allows; no passwords.

Authorization code flow with PKCE as a browser and Streamlit's `st.login` use it. Whoever
`Provider.person` names is signed in at once, and every check of the protocol that a real provider
makes of its client is made here too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "dashboard", "a client secret of this test alone"
KEY = b"thirty-two bytes of a signing key"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims: dict[str, Any], key: bytes = KEY, algorithm: str = "HS256") -> str:
    """A JSON web token by HMAC-SHA256 (RFC 7515); unsigned where the algorithm is "none"."""
    head = b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "1"}).encode())
    body = b64(json.dumps(claims).encode())
    mark = hmac.digest(key, f"{head}.{body}".encode(), "sha256") if algorithm != "none" else b""
    return f"{head}.{body}.{b64(mark)}"


class Provider(ThreadingHTTPServer):
    """Signs in `person` (claims) without asking; `signing` are options of `signed`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.person: dict[str, Any] = {}
        self.signing: dict[str, Any] = {}
        self.pending: dict[str, dict[str, str]] = {}
        self.problems: list[str] = []
        self.sign_ins = 0

    def secrets_file(self, url: str) -> str:
        """What `.streamlit/secrets.toml` of a dashboard at `url` holds."""
        values = {
            "redirect_uri": f"{url}/oauth2callback",
            "cookie_secret": secrets.token_hex(),
            "client_id": CLIENT,
            "client_secret": SECRET,
            "server_metadata_url": f"{self.url}/.well-known/openid-configuration",
        }
        return "[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items())


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def reply(self, document: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        base = self.server.url
        if path == "/.well-known/openid-configuration":
            self.reply(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "jwks_uri": f"{base}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["HS256"],
                    "code_challenge_methods_supported": ["S256"],
                }
            )
        elif path == "/keys":
            self.reply({"keys": [{"kty": "oct", "kid": "1", "alg": "HS256", "k": b64(KEY)}]})
        elif path == "/authorize":
            self.authorize({name: values[0] for name, values in query.items()})
        else:
            self.reply({"error": "not found"}, 404)

    def authorize(self, asked: dict[str, str]) -> None:
        if asked.get("client_id") != CLIENT or asked.get("response_type") != "code":
            self.server.problems.append(f"authorize: {asked}")
        if asked.get("code_challenge_method") != "S256" or "openid" not in asked.get("scope", ""):
            self.server.problems.append(f"authorize: {asked}")
        code = secrets.token_urlsafe()
        self.server.pending[code] = asked
        back = urlencode({"code": code, "state": asked.get("state", "")})
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        form = {name: v[0] for name, v in parse_qs(self.rfile.read(length).decode()).items()}
        asked = self.server.pending.pop(form.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = self.headers.get("Authorization", "") in (f"Basic {basic}", f"Basic {plain}")
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or not known or b64(verifier) != asked.get("code_challenge"):
            self.server.problems.append(f"token: known={known}, {sorted(form)}")
            self.reply({"error": "invalid_grant"}, 400)
            return
        self.server.sign_ins += 1
        now = int(time.time())
        claims = {
            "iss": self.server.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked.get("nonce"),
            **self.server.person,
        }
        self.reply(
            {
                "access_token": "x",
                "token_type": "Bearer",
                "id_token": signed(claims, **self.server.signing),
            },
        )


@contextmanager
def provider() -> Iterator[Provider]:
    """A running provider on a free port."""
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
