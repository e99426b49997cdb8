"""`tradinghf accounts`: who may sign in to the dashboard."""

from __future__ import annotations

from typing import Literal

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import StoreName
from tradinghf.errors import ConfigError

Role = Literal["rater", "lead", "admin"]


def accounts_add(name: Positional[str], /, *, role: Role = "rater", store: StoreName) -> None:
    """Add an account; asks for its password.

    Example: `tradinghf accounts add boss --role admin --store "$STORE"`

    Args:
        name: Who signs in.
        role: A rater ranks; a lead also sees everybody's episodes and trains; an admin also
            manages accounts.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    from tradinghf.feedback.store import Store
    from tradinghf.serving import UserAccounts

    with Store(store) as bank:
        UserAccounts(bank).add(name, _password(name), role, by="command line")
    output.line(f"{name} may sign in as {role}.")


def accounts_password(name: Positional[str], /, *, store: StoreName) -> None:
    """Set the password of an account; asks for it.

    Example: `tradinghf accounts password ann --store "$STORE"`

    Args:
        name: Whose password.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    from tradinghf.feedback.store import Store
    from tradinghf.serving import UserAccounts

    with Store(store) as bank:
        UserAccounts(bank).change(name, by="command line", password=_password(name))
    output.line(f"{name} has a new password.")


def accounts_list(*, store: StoreName) -> None:
    """List every account with its role.

    Example: `tradinghf accounts list --store "$STORE"`

    Args:
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    from tradinghf.feedback.store import Store
    from tradinghf.serving import UserAccounts

    with Store(store) as bank:
        for account in UserAccounts(bank).everybody():
            output.line(f"{account.name}\t{account.role}")


def _password(name: str) -> str:
    from getpass import getpass

    try:
        return getpass(f"Password for {name}: ")
    except EOFError as error:
        raise ConfigError(
            f"No password for {name} was typed; expected one at the prompt."
        ) from error
