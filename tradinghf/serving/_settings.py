"""Settings of a dashboard process; its pages and its routes read them from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from tradinghf.errors import ConfigError, unknown_name

SignInMode = Literal["none", "local", "oidc"]
UnverifiedEmail = Literal["refuse", "accept"]
_DEFAULT_STORE = "store"
_DEFAULT_GOAL = 30
_LONGEST_GOAL = 9  # digits
_PREFIX = "TRADINGHF_"


@dataclass(frozen=True)
class DashboardSettings:
    """Settings of one dashboard process; each is also an environment variable, TRADINGHF_NAME.

    Attributes:
        store: folder, `.db` file or postgresql:// URL of the feedback store.
        runs: folder in which training runs live.
        auth: "none" (this machine only, one user, with a start token), "local" (users with
            passwords in the store) or "oidc" (Streamlit's `st.login`).
        hosts: comma-separated Host names under which a team reaches the server; empty for any.
        goal: rankings per session shown as the goal.
        unverified_email: with "oidc", what to do with people of whose e-mail address the identity
            provider does not say whether it verified it: "refuse" or "accept". An address that it
            calls unverified is always refused.
        data_folder: a folder of the server whose files admins may take as bars; empty for none.

    """

    store: str = _DEFAULT_STORE
    runs: str = "runs"
    auth: SignInMode = "none"
    hosts: str = ""
    goal: int = _DEFAULT_GOAL
    unverified_email: UnverifiedEmail = "refuse"
    data_folder: str = ""

    def __post_init__(self) -> None:
        if self.auth not in get_args(SignInMode):
            raise ConfigError(unknown_name("kind of sign-in", self.auth, get_args(SignInMode)))
        if self.unverified_email not in get_args(UnverifiedEmail):
            known = get_args(UnverifiedEmail)
            raise ConfigError(unknown_name("unverified_email", self.unverified_email, known))
        if self.goal < 1:
            raise ConfigError(f"The session goal is {self.goal}; expected at least 1 ranking.")

    @classmethod
    def from_environment(cls) -> DashboardSettings:
        """Settings of this process.

        Raises:
            ConfigError: a variable holds a value out of range.

        """
        names = [name for name in cls.__dataclass_fields__ if _PREFIX + name.upper() in os.environ]
        given: dict[str, str] = {name: os.environ[_PREFIX + name.upper()] for name in names}
        goal = given.pop("goal", str(_DEFAULT_GOAL))
        if not goal.isdecimal() or len(goal) > _LONGEST_GOAL:
            raise ConfigError(
                f"{_PREFIX}GOAL is {goal[:40]!r}; expected a whole number of rankings."
            )
        return cls(**given, goal=int(goal))  # type: ignore[arg-type]  # checked above

    @property
    def store_argument(self) -> str:
        """The store as a word of a command: a URL by the variable, as it may hold a password."""
        return f"env:{_PREFIX}STORE" if "://" in self.store else self.store

    def environment(self) -> dict[str, str]:
        """The variables that give these settings to another process."""
        return {_PREFIX + n.upper(): str(getattr(self, n)) for n in self.__dataclass_fields__}
