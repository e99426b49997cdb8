"""What comments, docstrings and pages cite exists: files, tests, modules and names in backticks."""

from __future__ import annotations

import pytest
from support.citations import problems, prose, texts, unknown_words, wrong_files, wrong_names


def test_cited_files_exist() -> None:
    assert not (found := problems((path, wrong_files(text)) for path, text in texts())), found


def test_cited_modules_and_their_names_exist() -> None:
    assert not (found := problems((path, wrong_names(text)) for path, text in texts())), found


def test_names_in_backticks_are_names_of_the_code() -> None:
    assert not (found := problems((path, unknown_words(text)) for path, text in texts())), found


@pytest.mark.parametrize("room", ["tests/loop", "tradinghf/market", "market", "docs"])
def test_a_citation_of_a_missing_file_is_found(room: str) -> None:
    source = f'"""See {room}/gone.py."""\nvalue = "{room}/lost.py"  # as {room}/away.md says'
    assert wrong_files(prose(source)) == [f"{room}/gone.py", f"{room}/away.md"]
    assert wrong_files("held by `test_" + "vanished.py`") == ["test_" + "vanished.py"]
    assert (
        wrong_files("tradinghf/market/_data.py, market/_data.py, docs/store.md, mine/data.py") == []
    )


def test_a_citation_of_a_missing_name_is_found() -> None:
    gone = [f"tradinghf.market.{name}" for name in ("data.MarketDate", "prices")]
    assert wrong_names(f"`{gone[0]}` of {gone[1]}") == gone
    assert wrong_names("`learning." + "score_model`") == ["tradinghf.learning." + "score_model"]
    assert wrong_names("tradinghf.market._data.MarketData.bars, `tradinghf.market`.") == []


def test_a_renamed_name_in_backticks_is_found() -> None:
    old = "Market" + "Datum"
    assert unknown_words(f"`{old}`, `MarketData.{old}`, `MarketData`, `{old.lower()}(x)`") == [
        f"MarketData.{old}",
        old,
        old.lower(),
    ]
