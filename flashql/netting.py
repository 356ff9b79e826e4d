"""A run of row changes netted: which keys it touched, and which of its rows are left at its end.

The statements of `apply.py` can find that out themselves, over any events relation. For a run that is in memory
anyway it is done here: a statement's fixed cost is several times that of a small run, and a large run costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute  # `take` and `filter` import it: not to be waited for amid the first batch

from flashql.arrays import to_arrow
from flashql.origins.base import DELETE, UPDATE, BoolArray, RowChanges, Tuples

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Netted:
    """What a run comes to: delete the rows with these keys, then insert those of the run's new rows that stay."""

    touched: tuple[pa.Array, ...]  # each key column, one entry per touch (a key may come twice)
    stays: BoolArray  # for each change of the run


def netted(changes: RowChanges, late: BoolArray, key: Sequence[int]) -> Netted:
    """Net those changes of a run that are `late`; `key` says where in its rows the key's columns are.

    A key is the same iff what was sent is: Postgres decides by its bytes whether an update changed the key. (Numerics
    that are equal but for zeros at the end are one key where numbers were sent, two where texts were: as their row
    leaves and comes in one change, either is right.) Inserts touch nothing: they name a key that is not there.
    """
    if changes.only_inserts:
        return Netted((), late)
    leaving = np.flatnonzero(late & changes.has_old)
    arriving = np.flatnonzero(late & (changes.kinds != DELETE))
    in_place = (late & (changes.kinds == UPDATE) & ~changes.has_old)[arriving]
    new = [_taken(changes.new, place, arriving) for place in key]
    touched, keys = [column.filter(to_arrow(in_place)) for column in new], new
    if changes.old is not None and len(leaving):
        old = [_taken(changes.old, place, leaving) for place in key]
        touched, keys = ([pa.concat_arrays(pair) for pair in zip(old, more, strict=True)] for more in (touched, new))
    stays = np.zeros(len(changes), np.bool_)
    stays[_staying(leaving, arriving, _codes(keys))] = True
    return Netted(tuple(touched), stays)


def _taken(rows: Tuples, place: int, wanted: Places) -> pa.Array:
    column = rows.values[place]
    assert column is not None, "a copy has its key's columns, so they were asked for"
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_binary_view(column.type):
        column = column.cast(pa.binary())
    return column.take(to_arrow(wanted))


def _staying(leaving: Places, arriving: Places, codes: Places) -> Places:
    """Which arrivals no later change replaces or takes away; `codes` stand for the keys that leave, then arrive."""
    last_left, last_came = np.full((2, len(codes)), -1, np.int64)
    # Of several values assigned to one place the last is left, and changes are in stream order.
    last_left[codes[: len(leaving)]] = leaving
    last_came[codes[len(leaving) :]] = arriving
    return last_came[(last_came >= 0) & (last_came >= last_left)]


def _codes(keys: Sequence[pa.Array]) -> Places:
    """A number below their count for each key, the same for equal ones."""
    codes = np.zeros(len(keys[0]), np.int64)
    for at, column in enumerate(keys):
        plain = column.storage if isinstance(column, pa.ExtensionArray) else column
        found = plain.dictionary_encode()
        numbers = found.indices.to_numpy().astype(np.int64)
        codes = numbers if at == 0 else np.unique(codes * len(found.dictionary) + numbers, return_inverse=True)[1]
    return codes
