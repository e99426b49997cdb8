"""The objects that pages and routes of one process share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tradinghf.feedback.store import Store
from tradinghf.resources import resource_dir
from tradinghf.serving.access import Passes, load_secret
from tradinghf.serving.routes import ComponentFiles
from tradinghf.serving.service import RankingService
from tradinghf.serving.settings import Settings


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

    """

    settings: Settings
    store: Store
    service: RankingService
    passes: Passes
    logins: Passes
    files: ComponentFiles


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
    )


__all__ = ["Dashboard", "dashboard"]
