"""The objects that pages and routes of one process share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tradinghf.feedback.store import Store
from tradinghf.resources import resource_dir
from tradinghf.serving._access import AccessError, Identity, SessionTokens, load_secret
from tradinghf.serving._accounts import UserAccounts
from tradinghf.serving._data_folder import DataFolder
from tradinghf.serving._routes import ComponentFiles
from tradinghf.serving._service import RankingService
from tradinghf.serving._settings import DashboardSettings
from tradinghf.serving._uploads import UploadSessions

COOKIE = "tradinghf_login"
INVITED_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Dashboard:
    """One store being served.

    Attributes:
        settings: as given.
        store: open.
        service: the Rank page's queries and answers.
        answer_tokens: for the component's calls.
        sign_in_tokens: for the sign-in cookie of team mode.
        invitations: for the links by which people choose their first password.
        files: the component.
        accounts: people and the audit trail.
        upload_sessions: browsers that may send files.
        data_folder: files of the server that admins may take as bars.

    """

    settings: DashboardSettings
    store: Store
    service: RankingService
    answer_tokens: SessionTokens
    sign_in_tokens: SessionTokens
    invitations: SessionTokens
    files: ComponentFiles
    accounts: UserAccounts
    upload_sessions: UploadSessions
    data_folder: DataFolder

    def identity_of(self, tokens: SessionTokens, token: str) -> Identity:
        """Who a token stands for now.

        Raises:
            AccessError: forged or expired, or the person has been switched off or changed since.

        """
        identity, issued, stamp = tokens.check(token)
        if self.settings.auth == "none":
            return identity
        if self.settings.auth == "oidc" and self.accounts.get(identity.rater) is None:
            return identity
        return self.accounts.still_valid(identity, issued, stamp)

    def token_for(self, tokens: SessionTokens, identity: Identity) -> str:
        """A token for a person; it ends when they sign out or their account changes.

        It carries the stamp that was seen when they proved who they are: a sign-in that was under
        way while the password changed opens nothing.
        """
        return tokens.issue(identity, identity.stamp)

    def invitation(self, name: str) -> str:
        """Path of a link by which a person chooses a password: once, within seven days.

        It names the account as it is now: any later change of it, the password too, ends the link.
        """
        token = self.invitations.issue(Identity(name), self.accounts.stamp(name))
        return f"/invite?token={token}"

    def invited(self, token: str) -> tuple[str, str]:
        """(whom an invitation names, the account's stamp, which it may change once).

        Raises:
            AccessError: forged, expired, used, or the account has changed since.

        """
        try:
            identity, issued, stamp = self.invitations.check(token)
            return self.accounts.still_valid(identity, issued, stamp or "none").rater, stamp
        except AccessError as error:
            raise AccessError(
                "This link was used, has expired, or is not whole. Ask an admin for a new one."
            ) from error

    def signed_in(self, cookies: Mapping[str, str]) -> Identity | None:
        """Who has signed in with a password, by the browser's cookie."""
        try:
            return self.identity_of(self.sign_in_tokens, cookies.get(COOKIE, ""))
        except AccessError:
            return None


def current_dashboard(settings: DashboardSettings | None = None) -> Dashboard:
    """The dashboard of these settings; by default, of this process's environment.

    Raises:
        StoreError: the store cannot be opened.

    """
    return _open_dashboard(settings or DashboardSettings.from_environment())


@lru_cache(maxsize=4)
def _open_dashboard(settings: DashboardSettings) -> Dashboard:
    store = Store(settings.store)
    secret = load_secret(store.location.folder)
    return Dashboard(
        settings=settings,
        store=store,
        service=RankingService(store),
        answer_tokens=SessionTokens(secret, "answers"),
        sign_in_tokens=SessionTokens(secret, "login"),
        invitations=SessionTokens(secret, "invite", INVITED_SECONDS),
        files=ComponentFiles(resource_dir("dashboard") / "component"),
        accounts=UserAccounts(store),
        upload_sessions=UploadSessions(),
        data_folder=DataFolder(settings.data_folder),
    )
