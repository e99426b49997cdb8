"""User accounts of team mode: names, roles, passwords (argon2id), and the audit trail.

The tables lie in the store's database. Passwords never leave this module, not even hashed. Five
wrong passwords lock an account for a quarter of an hour; the answer to a wrong name takes as long
as that to a wrong password and reads the same.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, select

from tradinghf.errors import MissingExtraError, TradingHFError, unknown_name
from tradinghf.feedback.store import Store, audit, next_seq, note_in_journal, users
from tradinghf.serving._access import ROLES, AccessError, Identity, Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_log = logging.getLogger(__name__)
_SHORTEST_PASSWORD = 12
LOCK_AFTER = 5
LOCK_FOR = timedelta(minutes=15)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_REFUSED = "Wrong name or password, or the account is locked for a while."


@dataclass(frozen=True)
class UserAccount:
    """One person.

    Attributes:
        name: under which answers are stored.
        role: rater, lead or admin.
        active: whether signing in is allowed.
        locked: whether too many wrong passwords lock it now.
        changed: when password, role or state last changed; older sign-ins end then.

    """

    name: str
    role: Role
    active: bool
    locked: bool
    changed: datetime


class AccountError(TradingHFError):
    """A user cannot be added or changed as asked."""


def _now() -> datetime:
    return datetime.now(UTC)


class UserAccounts:
    """Users and audit trail of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hashes: PasswordHasher | None = None
        self._nobody = ""
        # argon2id takes 64 MiB a time: a burst of attempts must not exhaust the memory.
        self._slots = threading.BoundedSemaphore(4)

    def _hasher(self) -> PasswordHasher:
        if self._hashes is None:
            try:
                from argon2 import PasswordHasher
            except ImportError as error:
                raise MissingExtraError("argon2-cffi", "team", "Signing in") from error
            self._hashes = PasswordHasher()
            self._nobody = self._hashes.hash("nobody has this password")
        return self._hashes

    # Reading

    def everybody(self) -> list[UserAccount]:
        """Everybody, by name."""
        with self._store.reading() as connection:
            rows = connection.execute(select(users).order_by(users.c.name)).all()
        return [_account(row) for row in rows]

    def get(self, name: str) -> UserAccount | None:
        """One person, or None."""
        with self._store.reading() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        return None if row is None else _account(row)

    def still_valid(self, identity: Identity, issued: datetime) -> Identity:
        """The identity of a sign-in that is still valid, with the present role.

        Raises:
            AccessError: the person is gone or inactive, or has changed since it was issued.

        """
        account = self.get(identity.rater)
        # Tokens are dated to the second, changes more finely.
        if account is None or not account.active or issued + timedelta(seconds=1) < account.changed:
            raise AccessError("Sign in again.")
        return Identity(account.name, account.role)

    def trail(self, limit: int = 200) -> list[tuple[str, str, str, str]]:
        """(when, who, what, detail), the newest first."""
        columns = (audit.c.at, audit.c.who, audit.c.what, audit.c.detail)
        query = select(*columns).order_by(audit.c.seq.desc()).limit(limit)
        with self._store.reading() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    # Writing

    def note(self, who: str, what: str, detail: str = "") -> None:
        """Write a line of the audit trail."""
        with self._store.writing() as connection:
            _note(connection, who, what, detail)

    def add(self, name: str, password: str | None, role: Role, *, by: str) -> None:
        """Add a person; without a password, somebody who signs in at the identity provider.

        Raises:
            AccountError: a bad name, a short password, an unknown role, or the name is taken.

        """
        if _NAME.fullmatch(name) is None:
            raise AccountError(
                f"{name[:70]!r} is no user name; expected 1 to 64 letters, digits, '.', '_', '@' "
                "or '-', the first a letter or digit."
            )
        if role not in ROLES:
            raise AccountError(unknown_name("role", role, ROLES))
        values = {
            "name": name,
            "role": role,
            "password": "" if password is None else self._hash(password),
            "failures": 0,
            "locked_until": "",
            "changed": _now().isoformat(),
            "active": 1,
        }
        with self._store.writing() as connection:
            taken = select(users.c.name).where(func.lower(users.c.name) == name.lower())
            if connection.execute(taken).first() is not None:
                raise AccountError(f"There is a user {name!r} already.")
            connection.execute(users.insert().values(values))
            note_in_journal(connection, "user", [values])
            _note(connection, by, "add user", f"{name} as {role}")

    def _hash(self, password: str) -> str:
        if len(password) < _SHORTEST_PASSWORD:
            raise AccountError(
                f"The password has {len(password)} characters; expected at least "
                f"{_SHORTEST_PASSWORD}."
            )
        return self._hasher().hash(password[:1000])

    def change(
        self,
        name: str,
        *,
        by: str,
        password: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> None:
        """Change a person; their sign-ins end.

        Raises:
            AccountError: nobody of that name, a short password, or the last admin would go.

        """
        values: dict[str, object] = {"changed": _now().isoformat()}
        if password is not None:
            values |= {"password": self._hash(password), "failures": 0, "locked_until": ""}
        if role is not None:
            values["role"] = role
        if active is not None:
            values["active"] = int(active)
        with self._store.writing() as connection:
            done = connection.execute(users.update().where(users.c.name == name).values(**values))
            if not done.rowcount:
                raise AccountError(f"There is no user {name[:70]!r}.")
            row = connection.execute(select(users).where(users.c.name == name)).mappings().one()
            note_in_journal(connection, "user", [dict(row)])
            left = select(users.c.name).where(users.c.role == "admin", users.c.active == 1)
            loses = role is not None or active is not None
            if loses and connection.execute(left).first() is None:
                raise AccountError("That would leave no admin. Make somebody else admin first.")
            what = ", ".join(sorted(set(values) - {"changed", "failures", "locked_until"}))
            _note(connection, by, "change user", f"{name}: {what}")

    def sign_in(self, name: str, password: str) -> Identity:
        """Check a password.

        Raises:
            AccessError: wrong, unknown, inactive or locked; it does not say which.

        """
        with self._store.reading() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        right = self._verify(row.password if row else "", password)
        if row is None:
            # What was typed is not logged: it may be a password in the wrong field.
            _log.warning("sign-in refused", extra={"rater": None})
            raise AccessError(_REFUSED)
        account = _account(row)
        allowed = right and account.active and not account.locked
        if not account.locked:
            self._count(account.name, right)
        if not allowed:
            _log.warning("sign-in refused", extra={"rater": account.name})
            raise AccessError(_REFUSED)
        return Identity(account.name, account.role)

    def _verify(self, known: str, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        hasher = self._hasher()
        with self._slots:
            try:
                return hasher.verify(known or self._nobody, password[:1000]) and bool(known)
            except (Argon2Error, InvalidHashError):
                return False

    def _count(self, name: str, right: bool) -> None:
        """Count a wrong password, or forget the earlier ones; lock after `LOCK_AFTER`."""
        mine = users.c.name == name
        with self._store.writing() as connection:
            failures = int(connection.scalar(select(users.c.failures).where(mine)) or 0)
            if right and not failures:
                return
            failures = 0 if right else failures + 1
            until = ""
            if failures >= LOCK_AFTER:
                failures, until = 0, (_now() + LOCK_FOR).isoformat()
                _note(connection, name, "locked", f"{LOCK_AFTER} wrong passwords")
            connection.execute(
                users.update().where(mine).values(failures=failures, locked_until=until)
            )


def _note(connection: Connection, who: str, what: str, detail: str) -> None:
    seq = next_seq(connection, audit)
    row = {
        "seq": seq,
        "at": _now().isoformat(),
        "who": who[:100],
        "what": what[:40],
        "detail": detail[:2000],
    }
    connection.execute(audit.insert().values(row))
    note_in_journal(connection, "audit", [row])
    about = {"rater": row["who"], "what": row["what"], "detail": row["detail"]}
    _log.info("audit trail", extra=about)


def _account(row: Row[Any]) -> UserAccount:
    return UserAccount(
        name=row.name,
        role=row.role,
        active=bool(row.active),
        locked=bool(row.locked_until) and datetime.fromisoformat(row.locked_until) > _now(),
        changed=datetime.fromisoformat(row.changed),
    )
