"""The objects that pages and routes of one process share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tradinghf.feedback.store import Store
from tradinghf.resources import resource_dir
from tradinghf.serving.access import AccessError, Identity, Passes, load_secret
from tradinghf.serving.accounts import Accounts
from tradinghf.serving.routes import ComponentFiles
from tradinghf.serving.service import RankingService
from tradinghf.serving.settings import Settings

COOKIE = "tradinghf_login"


@dataclass(frozen=True)
class Dashboard:
    """One store being served.

    Attributes:
        settings: as given.
        store: open.
        service: the Rank page's queries and answers.
        passes: for the component's calls.
        logins: for the sign-in cookie of team mode.
        files: the component.
        accounts: people and the audit trail.

    """

    settings: Settings
    store: Store
    service: RankingService
    passes: Passes
    logins: Passes
    files: ComponentFiles
    accounts: Accounts

    def holder(self, passes: Passes, token: str) -> Identity:
        """Who holds a pass now.

        Raises:
            AccessError: forged or expired, or the person has been switched off or changed since.

        """
        identity, issued = passes.check(token)
        if self.settings.auth == "none":
            return identity
        if self.settings.auth == "oidc" and self.accounts.get(identity.rater) is None:
            return identity
        return self.accounts.still_valid(identity, issued)

    def signed_in(self, cookies: Mapping[str, str]) -> Identity | None:
        """Who has signed in with a password, by the browser's cookie."""
        try:
            return self.holder(self.logins, cookies.get(COOKIE, ""))
        except AccessError:
            return None


def dashboard(settings: Settings | None = None) -> Dashboard:
    """The dashboard of these settings; by default, of this process's environment.

    Raises:
        StoreError: the store cannot be opened.

    """
    return _open(settings or Settings.from_environment())


@lru_cache(maxsize=4)
def _open(settings: Settings) -> Dashboard:
    store = Store(settings.store)
    secret = load_secret(store.location.folder)
    return Dashboard(
        settings=settings,
        store=store,
        service=RankingService(store),
        passes=Passes(secret, "answers"),
        logins=Passes(secret, "login"),
        files=ComponentFiles(resource_dir("dashboard") / "component"),
        accounts=Accounts(store),
    )


__all__ = ["COOKIE", "Dashboard", "dashboard"]
