"""Identities and roles, and the signed tokens by which requests prove them.

The component calls the answer routes with `Authorization: Bearer TOKEN`. Nobody can forge a token
without the server's secret, and being a header it cannot be sent by another site's page. The secret
lies beside the store, so tokens outlive a restart of the server and waiting answers still arrive.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from itsdangerous import BadSignature, URLSafeTimedSerializer

from tradinghf.durable import sync_folder
from tradinghf.errors import ConfigError, TradingHFError

Role = Literal["rater", "lead", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
TOKEN_SECONDS = 12 * 3600
_SECRET_FILE = "dashboard.secret"  # a name, not the secret  # nosec B105
_SECRET_VARIABLE = "TRADINGHF_SECRET"  # a name, not the secret  # nosec B105
_SHORTEST_SECRET = 32


class AccessError(TradingHFError):
    """A request by somebody who has not signed in, or lacks the role."""


@dataclass(frozen=True)
class Identity:
    """A person at the dashboard.

    Attributes:
        rater: name under which answers are stored.
        role: "rater" ranks; "lead" also starts jobs and reads everybody's answers; "admin" also
            manages users, data and exports.
        stamp: of the account when the password or the sign-in was looked at
            (`UserAccounts.stamp`): what is signed for this person ends with any change since.

    """

    rater: str
    role: Role = "rater"
    stamp: str = field(default="", compare=False, repr=False)

    def may(self, role: Role) -> bool:
        """Whether this role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


LOCAL = Identity("local", "admin")
"""The one user of a dashboard without login, reachable from this machine only."""


def load_secret(folder: Path) -> str:
    """The signing secret: from the environment, else from `folder`, made there on first use.

    Raises:
        ConfigError: the secret is too short to protect anything (the file of a failed copy or a
            power cut may be empty), or the file cannot be read or made.

    """
    given = os.environ.get(_SECRET_VARIABLE, "")
    if given:
        if len(given) < _SHORTEST_SECRET:
            raise ConfigError(
                f"{_SECRET_VARIABLE} has {len(given)} characters; expected at least "
                f"{_SHORTEST_SECRET}. Make one: python -c 'import secrets; "
                "print(secrets.token_hex())'"
            )
        return given
    path = folder / _SECRET_FILE
    try:
        if not path.exists():
            _make_secret(path)
        path.chmod(0o600)
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The signing secret {path} cannot be read or made: {error}. Fix the permissions, or "
            f"set {_SECRET_VARIABLE}."
        ) from error
    if len(found) < _SHORTEST_SECRET:
        raise ConfigError(
            f"The signing secret {path} has {len(found)} characters; expected at least "
            f"{_SHORTEST_SECRET}: anybody could forge a sign-in. Remove the file; "
            "a new one is made at the next start, and everybody signs in again."
        )
    return found


def _make_secret(path: Path) -> None:
    """Write a new secret, durably; of two servers that start at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.parent / f".{_SECRET_FILE}.{secrets.token_hex(8)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)


class SessionTokens:
    """Issues and checks signed tokens that name a person and a role and expire.

    Args:
        secret: from `load_secret`.
        purpose: separates kinds of tokens signed with one secret ("answers", "login", "invite").
        seconds: how long a token is valid.

    """

    def __init__(self, secret: str, purpose: str = "answers", seconds: int = TOKEN_SECONDS) -> None:
        self._secret = secret
        self._seconds = seconds
        self._signer = URLSafeTimedSerializer(secret, salt=f"tradinghf.{purpose}")

    def issue(self, identity: Identity, stamp: str = "") -> str:
        """A token that is valid from now on.

        Args:
            identity: whom it names.
            stamp: of the account (`UserAccounts.stamp`); it ends with the account's stamp.

        """
        return str(self._signer.dumps([identity.rater, identity.role, stamp]))

    def pseudonym(self, *words: str) -> str:
        """A name in place of these words: always the same, and nobody can read them from it."""
        said = "\x1f".join(("mark", *words)).encode()
        return hmac.new(self._secret.encode(), said, hashlib.sha256).hexdigest()[:24]

    def check(self, token: str) -> tuple[Identity, datetime, str]:
        """Who this token stands for, since when, and the account's stamp then.

        Raises:
            AccessError: forged, altered or expired.

        """
        try:
            content, issued = self._signer.loads(token, self._seconds, return_timestamp=True)
            rater, role, stamp = content
        except (BadSignature, ValueError, TypeError) as error:
            raise AccessError("The sign-in has expired. Reload the page.") from error
        if role not in ROLES:
            raise AccessError("The sign-in has an unknown role. Sign in again.")
        return Identity(str(rater), role), issued, str(stamp)
