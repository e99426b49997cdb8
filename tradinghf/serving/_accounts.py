"""User accounts of team mode: names, roles, passwords (argon2id), and the audit trail.

The tables lie in the store's database. Passwords never leave this module, not even hashed. Five
wrong passwords lock an account for a quarter of an hour; the answer to a wrong name takes as long
as that to a wrong password and reads the same. The trail holds refused sign-ins, and of each change
what was there before.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, select

from tradinghf.errors import MissingExtraError, TradingHFError, unknown_name
from tradinghf.feedback.store import (
    Store,
    audit,
    next_seq,
    note_in_journal,
    raters_who_look_like,
    users,
)
from tradinghf.serving._access import ROLES, AccessError, Identity, Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_log = logging.getLogger(__name__)
_SHORTEST_PASSWORD = 12
LOCK_AFTER = 5
LOCK_FOR = timedelta(minutes=15)
_UNKNOWN_EVERY = 60.0  # seconds
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
        self._unknown_noted = -_UNKNOWN_EVERY

    def _hasher(self) -> PasswordHasher:
        if self._hashes is None:
            try:
                from argon2 import PasswordHasher
            except ImportError as error:
                raise MissingExtraError("argon2-cffi", "team", "Signing in") from error
            # One lane: attempts take one core at a time from those who rank.
            self._hashes = PasswordHasher(parallelism=1)
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

    def stamp(self, name: str) -> str:
        """What a sign-in of now is marked with: another one after every change and sign-out.

        No time is compared, so that a clock that was set back locks nobody out.
        """
        account = self.get(name)
        return "" if account is None else _stamp(account)

    def still_valid(self, identity: Identity, issued: datetime, stamp: str = "") -> Identity:
        """The identity of a sign-in that is still valid, with the present role.

        Args:
            identity: whom the token names.
            issued: when it was made; looked at only where it has no stamp (made by a script).
            stamp: of the account then.

        Raises:
            AccessError: the person is gone or inactive, or has signed out or changed since.

        """
        account = self.get(identity.rater)
        if account is None or not account.active:
            raise AccessError("Sign in again.")
        # Tokens are dated to the second, changes more finely; a change of tomorrow was noted by a
        # clock that ran ahead.
        changed = issued + timedelta(seconds=1) < account.changed <= _now()
        if stamp != _stamp(account) if stamp else changed:
            raise AccessError("Sign in again.")
        return Identity(account.name, account.role, _stamp(account))

    def by_address(self, address: str) -> UserAccount | None:
        """The person with this e-mail address, in capital or small letters.

        Only ASCII is folded: other letters that look alike belong to other people.
        """
        query = select(users).where(func.lower(users.c.name) == address.lower())
        with self._store.reading() as connection:
            row = connection.execute(query).one_or_none() if address.isascii() else None
        return None if row is None else _account(row)

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
            AccountError: a bad name, a short password, an unknown role, or the name is taken or
                looks like another rater's.

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
            if others := raters_who_look_like(connection, name):
                raise AccountError(
                    f"Answers of {others[0]!r}, which looks like {name!r}, are in the store. Use "
                    "that name, or one that looks different."
                )
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
        stamp: str | None = None,
    ) -> None:
        """Change a person; their sign-ins end.

        Args:
            name: of the person.
            by: who changes it, for the trail.
            password, role, active: new values; None leaves what is.
            stamp: only where the account still has it (`stamp`), so that of two changes at once,
                also through two servers, one is made.

        Raises:
            AccountError: nobody of that name, a short password, or the last admin would go.
            AccessError: the account has another stamp.

        """
        values: dict[str, object] = {"changed": _now().isoformat()}
        if password is not None:
            values |= {"password": self._hash(password), "failures": 0, "locked_until": ""}
        if role is not None:
            values["role"] = role
        if active is not None:
            values["active"] = int(active)
        with self._store.writing() as connection:
            before = connection.execute(select(users).where(users.c.name == name)).one_or_none()
            if before is None:
                raise AccountError(f"There is no user {name[:70]!r}.")
            if stamp is not None and stamp != _stamp(_account(before)):
                raise AccessError("This account was changed meanwhile.")
            connection.execute(users.update().where(users.c.name == name).values(**values))
            row = connection.execute(select(users).where(users.c.name == name)).mappings().one()
            note_in_journal(connection, "user", [dict(row)])
            left = select(users.c.name).where(users.c.role == "admin", users.c.active == 1)
            loses = role is not None or active is not None
            if loses and connection.execute(left).first() is None:
                raise AccountError("That would leave no admin. Make somebody else admin first.")
            _note(connection, by, "change user", f"{name}: {_changes(before, values)}")

    def sign_out(self, name: str) -> None:
        """End every sign-in of a person, also those on other machines."""
        with self._store.writing() as connection:
            mine = users.c.name == name
            connection.execute(users.update().where(mine).values(changed=_now().isoformat()))
            for row in connection.execute(select(users).where(mine)).mappings():
                note_in_journal(connection, "user", [dict(row)])

    def sign_in(self, name: str, password: str) -> Identity:
        """Check a password.

        The attempt counts before the password is looked at, in the transaction that reads the
        count, so that of many attempts at once no more than `LOCK_AFTER` are looked at.

        Raises:
            AccessError: wrong, unknown, inactive or locked; it does not say which.

        """
        with self._store.writing() as connection:
            mine = users.c.name == name
            row = connection.execute(select(users).where(mine)).one_or_none()
            tried = self._begin(connection, name, row)
        right = self._verify(row.password if row else "", password)
        if row is None:
            # What was typed is not logged: it may be a password in the wrong field.
            _log.warning("sign-in refused", extra={"rater": None})
            self._note_unknown()
            raise AccessError(_REFUSED)
        account = _account(row)
        if tried:
            self._end(account.name, right)
        if not (tried and right and account.active):
            _log.warning("sign-in refused", extra={"rater": account.name})
            raise AccessError(_REFUSED)
        return Identity(account.name, account.role, _stamp(account))

    def _note_unknown(self) -> None:
        """Say in the trail that unknown names are tried: once a minute, or floods would fill it."""
        now = time.monotonic()
        if now - self._unknown_noted >= _UNKNOWN_EVERY:
            self._unknown_noted = now
            self.note("somebody", "sign-in refused", "a name that nobody has")

    @staticmethod
    def _begin(connection: Connection, name: str, row: Row[Any] | None) -> bool:
        """Count an attempt; False when the account is locked, or gets locked by it."""
        failures = 0 if row is None else int(row.failures)
        locked = row is not None and _account(row).locked
        values: dict[str, object] = {"failures": failures if locked else failures + 1}
        if failures >= LOCK_AFTER and not locked:  # as many are being looked at, or were cut off
            values = _lock(connection, name)
        connection.execute(users.update().where(users.c.name == name).values(**values))
        return not locked and failures < LOCK_AFTER

    def _verify(self, known: str, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        hasher = self._hasher()
        with self._slots:
            try:
                return hasher.verify(known or self._nobody, password[:1000]) and bool(known)
            except (Argon2Error, InvalidHashError):
                return False

    def _end(self, name: str, right: bool) -> None:
        """Forget the attempts after the right password; lock after too many wrong ones."""
        mine = users.c.name == name
        with self._store.writing() as connection:
            failures = int(connection.scalar(select(users.c.failures).where(mine)) or 0)
            values: dict[str, object] = {"failures": 0, "locked_until": ""} if right else {}
            if not right:
                _note(connection, name, "sign-in refused", "wrong password")
            if not right and failures >= LOCK_AFTER:
                values = _lock(connection, name)
            if values:
                connection.execute(users.update().where(mine).values(**values))


def _changes(before: Row[Any], values: dict[str, object]) -> str:
    """What an account was and is: "role rater -> lead; state active -> switched off"."""
    states = {0: "switched off", 1: "active"}
    said = []
    if "role" in values:
        said.append(f"role {before.role} -> {values['role']}")
    if "active" in values:
        said.append(f"state {states[int(before.active)]} -> {states[int(str(values['active']))]}")
    if "password" in values:
        said.append(f"password {'old -> new' if before.password else 'none -> set'}")
    return "; ".join(said) or "sign-ins ended"


def _lock(connection: Connection, name: str) -> dict[str, object]:
    _note(connection, name, "locked", f"{LOCK_AFTER} wrong passwords")
    return {"failures": 0, "locked_until": (_now() + LOCK_FOR).isoformat()}


def _is_locked(until: str) -> bool:
    """Whether a lock holds; one that ends later than any can was set by a clock that ran ahead."""
    now = _now()
    return bool(until) and now < datetime.fromisoformat(until) <= now + LOCK_FOR


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


def _stamp(account: UserAccount) -> str:
    return hashlib.sha256(account.changed.isoformat().encode()).hexdigest()[:16]


def _account(row: Row[Any]) -> UserAccount:
    return UserAccount(
        name=row.name,
        role=row.role,
        active=bool(row.active),
        locked=_is_locked(row.locked_until),
        changed=datetime.fromisoformat(row.changed),
    )
