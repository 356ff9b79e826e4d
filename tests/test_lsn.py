"""LSNs: text and back, arithmetic, and the end of the last record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashql.errors import ProtocolError
from flashql.lsn import LSN
from tests.fix_postgres import Origin


@given(st.integers(0, 2**64 - 1))
def test_text_and_back(position: int) -> None:
    assert LSN.parse(str(LSN(position))) == position


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/G", "1/123456789", "0/1 ", "-1/0"])
def test_what_is_no_lsn_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="is not an LSN"):
        LSN.parse(text)


def test_postgres_prints_them_alike(origin: Origin) -> None:
    for position in (0, 1, 0x16B3748, 2**32, 0x16_B374D848, 2**64 - 1):
        ((text,),) = origin.query("SELECT ('0/0'::pg_lsn + %s::numeric)::text", [position])
        assert LSN.parse(text) == position
        assert str(LSN(position)) == text


@pytest.mark.parametrize(
    ("position", "end"),
    [
        ("0/2000018", "0/2000000"),  # a page with a short header
        ("0/3000028", "0/3000000"),  # the first page of a segment
        ("0/3000030", "0/3000030"),
        ("0/2000000", "0/2000000"),
        ("0/16B3748", "0/16B3748"),
    ],
)
def test_a_page_header_is_not_waited_for(position: str, end: str) -> None:
    assert LSN.parse(position).end_of_last_record() == LSN.parse(end)
