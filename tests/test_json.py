"""What JSON from outside may say."""

from __future__ import annotations

import math

import pytest

from tradinghf._json import parse_json


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"\\ud800"', r"holds \\ud800"),
        ('{"a": ["\\uDFFF"]}', r"holds \\udfff"),
        ('["\\ud83d", "\\ude00"]', "half a character"),
        (b'"\xed\xa0\x80"', "can't decode"),
        ("1" * 41, "41 digits"),
        ("-1e400", "overflows"),
        ("[1, 2", "delimiter"),
    ],
)
def test_what_nothing_can_keep_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_everything_else_is_read() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00 \\\\ud800"}') == {"a": "😀 \\ud800"}
    assert parse_json("[340282366920938463463374607431768211455, 1e308, -0.0]")[0] == 2**128 - 1
    assert math.isnan(parse_json("NaN"))
