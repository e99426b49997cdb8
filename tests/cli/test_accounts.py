"""`tradinghf accounts`: added, listed, and given passwords, without a password on the line."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import get_args

import pytest

from tradinghf.cli import main
from tradinghf.cli._accounts import Role
from tradinghf.feedback.store import Store
from tradinghf.serving import ROLES, UserAccounts

FIRST, SECOND = "correct horse battery", "staple, and a new one"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed at the next prompts for a password."""
    waiting: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: waiting.pop(0))
    return waiting


def test_an_account_is_added_listed_and_given_a_new_password(
    store: str, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("argon2")
    typed += [FIRST, SECOND]
    assert main(["accounts", "add", "boss", "--role", "admin", "--store", store]) == 0
    capsys.readouterr()
    assert main(["accounts", "list", "--store", store]) == 0
    assert capsys.readouterr().out.split() == ["boss", "admin"]
    assert main(["accounts", "password", "boss", "--store", store]) == 0
    with Store(store) as bank:
        assert UserAccounts(bank).sign_in("boss", SECOND).role == "admin"


def test_a_short_password_is_refused_and_nobody_is_added(
    store: str, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("argon2")
    typed.append("short")
    assert main(["accounts", "add", "ann", "--store", store]) != 0
    assert "12" in capsys.readouterr().err
    with Store(store) as bank:
        assert UserAccounts(bank).everybody() == []


def test_the_roles_are_those_of_the_dashboard() -> None:
    assert set(get_args(Role)) == set(ROLES)


def test_a_prompt_that_nobody_answers_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", ended)
    assert main(["accounts", "add", "ann", "--store", str(tmp_path / "store")]) == 2
    assert "No password for ann was typed" in capsys.readouterr().err
