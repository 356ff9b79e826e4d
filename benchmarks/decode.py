"""How fast the decoder is by itself: no server, no network, no DuckDB.

`python -m benchmarks.decode`: `rows_per_second` is for 1M inserted rows of 7 columns in
1000-row transactions, in calls of 200k frames (a stream far behind) and of 20k;
`one_row_transactions_per_second` for 200k transactions of Begin, Insert, Commit; `updates_per_second` for
200k updates that carry their whole old row. Each is the best of several runs over the same frames.
"""

from __future__ import annotations

import argparse
import struct
import time
from collections.abc import Iterator

from benchmarks.measuring import bounded, save, table
from flashql.origins.postgres.pgoutput import Decoder

ROWS, ROWS_PER_TRANSACTION, SMALL_TRANSACTIONS, UPDATES = 1_000_000, 1000, 200_000, 200_000
FRAMES_PER_CALL, FRAMES_PER_SMALL_CALL = 200_000, 20_000
RUNS = 3
_AT_MOST_SECONDS = 300
_HEADER = b"w" + bytes(24)
_OID = 16384
_COLUMNS = ("id", "customer_id", "status", "amount", "note", "created_at", "paid")


def _relation() -> bytes:
    columns = b"".join(b"\0" + name.encode() + b"\0" + struct.pack("!Ii", 25, -1) for name in _COLUMNS)
    return b"R" + struct.pack("!I", _OID) + b"public\0orders\0d" + struct.pack("!H", len(_COLUMNS)) + columns


def _tuple(i: int) -> bytes:
    note = None if i % 5 == 0 else f"a note about order number {i}"
    values = (
        f"{i}",
        f"{i % 9973}",
        "shipped",
        f"{i % 1000}.25",
        note,
        f"2024-05-01 12:{i % 60:02}:00+00",
        "t",
    )
    encoded = (None if value is None else value.encode() for value in values)
    parts = (b"n" if value is None else b"t" + struct.pack("!I", len(value)) + value for value in encoded)
    return struct.pack("!H", len(values)) + b"".join(parts)


def _insert(i: int) -> bytes:
    return b"I" + struct.pack("!I", _OID) + b"N" + _tuple(i)


def _update(i: int) -> bytes:
    return b"U" + struct.pack("!I", _OID) + b"O" + _tuple(i) + b"N" + _tuple(i + 1)


def _transaction(lsn: int, rows: list[bytes]) -> Iterator[bytes]:
    yield _HEADER + b"B" + struct.pack("!QqI", lsn, lsn, 7)
    yield from (_HEADER + row for row in rows)
    yield _HEADER + b"C\0" + struct.pack("!QQq", lsn, lsn + 8, lsn)


def _best_seconds(frames: list[bytes], frames_per_call: int = FRAMES_PER_CALL) -> float:
    best = float("inf")
    for _ in range(RUNS):
        decoder = Decoder()
        decoder.decode([_HEADER + _relation()])
        began = time.perf_counter()
        for first in range(0, len(frames), frames_per_call):
            decoder.decode(frames[first : first + frames_per_call])
        best = min(best, time.perf_counter() - began)
    return best


def measure(rows: int, small_transactions: int, wide_updates: int) -> dict[str, object]:
    """All figures, over that many of each."""
    many: list[bytes] = []
    for first in range(0, rows, ROWS_PER_TRANSACTION):
        many += _transaction(first + 1, [_insert(i) for i in range(first, first + ROWS_PER_TRANSACTION)])
    many_seconds = _best_seconds(many)
    small = [frame for i in range(small_transactions) for frame in _transaction(i + 1, [_insert(i)])]
    updates = list(_transaction(1, [_update(i) for i in range(wide_updates)]))
    return {
        "rows": rows,
        "rows_per_second": round(rows / many_seconds),
        "rows_per_second_in_small_calls": round(rows / _best_seconds(many, FRAMES_PER_SMALL_CALL)),
        "megabytes_per_second": round(sum(map(len, many)) / many_seconds / 1e6),
        "one_row_transactions_per_second": round(small_transactions / _best_seconds(small)),
        "updates_per_second": round(wide_updates / _best_seconds(updates)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    share = 10 if parser.parse_args().quick else 1
    with bounded(_AT_MOST_SECONDS):
        figures = measure(ROWS // share, SMALL_TRANSACTIONS // share, UPDATES // share)
    save("decode", figures)
    print(table([figures]))


if __name__ == "__main__":
    main()
