"""Positions in a Postgres write-ahead log: parse, print, compare.

An LSN is a 64-bit byte position. Postgres prints it as two hexadecimal halves, `16/B374D848`
(documentation: "pg_lsn Type"). As an `int` it compares and subtracts by itself, so `LSN` is one.
"""

from __future__ import annotations

import re
from typing import Self

from flashql.errors import ProtocolError

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")

# Where a WAL page begins with a header, "the insert position" is reported behind that header although no
# record has been written there yet (XLogBytePosToRecPtr). The header is 24 bytes long, 40 on the first page
# of a segment (SizeOfXLogShortPHD, SizeOfXLogLongPHD).
_PAGE_BYTES = 8192
_PAGE_HEADERS_BYTES = (24, 40)


class LSN(int):
    """A position in an origin's write-ahead log.

    >>> LSN.parse("0/16B3748") + 8 > LSN.parse("0/16B3748")
    True
    >>> str(LSN(23803720))
    '0/16B3748'
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raises `ProtocolError` when it is not an LSN."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ProtocolError(f"{text!r} is not an LSN; one looks like 0/16B3748")
        return cls((int(match[1], 16) << 32) | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"LSN({str(self)!r})"

    def end_of_last_record(self) -> LSN:
        """The end of the last record, for a position taken from `pg_current_wal_insert_lsn()`.

        At the start of a page the insert position already counts the page's header. No stream position
        reaches that until the next record is written, so whoever waits for it must wait for the page's start.

        >>> LSN.parse("0/2000018").end_of_last_record()
        LSN('0/2000000')
        """
        into_page = self % _PAGE_BYTES
        return LSN(self - into_page) if into_page in _PAGE_HEADERS_BYTES else self


NOWHERE = LSN(0)
