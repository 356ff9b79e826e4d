"""Columns being read: what stands at many places of a buffer becomes one Arrow array.

Text and bytes are not copied: Arrow's views point into the buffer (values of at most 12 bytes are part of the view
itself). Numbers are gathered and turned to the machine's order.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flashql.errors import ProtocolError
from flashql.origins.base import BoolArray, Int64Array, NeedsText
from flashql.origins.postgres.forms import AnyForm, DecimalForm, Form, NumberForm, UuidForm
from flashql.origins.postgres.payloads import LengthArray, Payloads, WordArray

Rows = slice | Int64Array

# A view is 16 bytes: int32 length; then 12 bytes of value, zero-padded, when that is enough; else its
# first 4 bytes, int32 buffer number (always 0 here) and int32 offset ("Variable-size Binary View Layout").
_INLINE_BYTES = 12
# _HEAD_MASK[n] keeps, of the value's first n bytes, those in the upper half of a view's first word (4);
# _TAIL_MASK[n] keeps those in its second word (8).
_HEAD_MASK = np.array([((1 << 8 * min(n, 4)) - 1) << 32 for n in range(_INLINE_BYTES + 2)], np.uint64)
_TAIL_MASK = np.array([(1 << 8 * min(max(n - 4, 0), 8)) - 1 for n in range(_INLINE_BYTES + 2)], np.uint64)
_UPPER_HALF_BITS = np.uint64(32)
_NOT_ASCII = np.uint64(0x8080_8080_8080_8080)


class Column(Protocol):
    """A column being read: rows not reached stay null."""

    valid: BoolArray
    unchanged: BoolArray | None

    def mark_unchanged(self, rows: Rows, marks: BoolArray) -> None:
        """Note in which rows a toasted value was not sent because it did not change."""

    def read(self, rows: Rows, at: Int64Array, head: WordArray, length: LengthArray, sent: BoolArray | None) -> None:
        """Read values: `length` bytes at `at`, of which the upper half of `head` has the first four.

        Only those that were `sent` mean something (None: all); the others have no length, and so does what is read
        of them. Values lie within the buffer. Raises `ProtocolError`, saying what the column does, and `NeedsText`.
        """

    def to_arrow(self) -> pa.Array:
        """All rows. Raises `ProtocolError`, saying what the column does."""


def column_of(form: AnyForm, payloads: Payloads, rows: int) -> Column:
    """A column of so many rows, all null yet, that reads values of this form."""
    match form:
        case NumberForm():
            return _Numbers(payloads, rows, form)
        case DecimalForm():
            return _Decimals(payloads, rows, form)
        case UuidForm():
            return _Uuids(payloads, rows)
    return _Views(payloads, rows, form)


class _Nullable:
    """Which rows have a value."""

    def __init__(self, payloads: Payloads, rows: int) -> None:
        self.payloads = payloads
        self.valid: BoolArray = np.zeros(rows, np.bool_)
        self.unchanged: BoolArray | None = None

    def mark_unchanged(self, rows: Rows, marks: BoolArray) -> None:
        """As of `Column`."""
        if marks.any():
            if self.unchanged is None:
                self.unchanged = np.zeros(len(self.valid), np.bool_)
            self.unchanged[rows] = marks

    def array(self, type_: pa.DataType, *buffers: pa.Buffer) -> pa.Array:
        """An Arrow array of these values, null where there are none."""
        rows = len(self.valid)
        nulls = rows - int(np.count_nonzero(self.valid))
        bitmap = pa.py_buffer(np.packbits(self.valid, bitorder="little")) if nulls else None
        return pa.Array.from_buffers(type_, rows, [bitmap, *buffers], nulls)


class _Views(_Nullable):
    """Text or bytes: a view per row."""

    def __init__(self, payloads: Payloads, rows: int, form: Form) -> None:
        super().__init__(payloads, rows)
        self._form = form
        self._views: WordArray = np.zeros((rows, 2), np.uint64)
        self._all_inlined = True  # no value is longer than its view holds

    def read(self, rows: Rows, at: Int64Array, head: WordArray, length: LengthArray, sent: BoolArray | None) -> None:
        """As of `Column`."""
        if self._form.prefix:
            at, head, length = self._behind_prefix(at, length, sent)
        inlined = np.minimum(length, _INLINE_BYTES + 1)
        head &= _HEAD_MASK[inlined]
        head |= length
        tail = self.payloads.words[at + 4]
        tail &= _TAIL_MASK[inlined]
        is_long = inlined > _INLINE_BYTES
        if is_long.any():
            self._all_inlined = False
            np.copyto(tail, at.view(np.uint64) << _UPPER_HALF_BITS, where=is_long)
        self._views[rows, 0] = head
        self._views[rows, 1] = tail

    def _behind_prefix(
        self, at: Int64Array, length: LengthArray, sent: BoolArray | None
    ) -> tuple[Int64Array, WordArray, LengthArray]:
        skipped = len(self._form.prefix)
        present = slice(None) if sent is None else sent
        begins = self.payloads.words[at[present]] & np.uint64((1 << 8 * skipped) - 1)
        if (length[present] < skipped).any() or (begins != int.from_bytes(self._form.prefix, "little")).any():
            raise ProtocolError("has values of another version than is known")
        at = at + skipped
        rest = length - np.uint32(skipped) if sent is None else length - np.uint32(skipped) * sent
        return at, self.payloads.words[at - 4], rest.astype(np.uint32)

    def to_arrow(self) -> pa.Array:
        """As of `Column`."""
        type_ = pa.string_view() if self._form.is_text else pa.binary_view()
        array = self.array(type_, pa.py_buffer(self._views), pa.py_buffer(self.payloads.data))
        if self._form.is_text and not self._is_plain:
            # DuckDB trusts Arrow's text to be UTF-8; an origin encoded as SQL_ASCII can send anything.
            try:
                array.validate(full=True)
            except pa.ArrowInvalid:
                raise ProtocolError("holds text that is not UTF-8") from None
        return array

    @property
    def _is_plain(self) -> bool:
        """Whether all values are short and ASCII, as those of most types are: nothing is to be checked then."""
        return self._all_inlined and not np.bitwise_or.reduce(self._views, axis=None) & _NOT_ASCII


class _Numbers(_Nullable):
    """Numbers of one size."""

    def __init__(self, payloads: Payloads, rows: int, form: NumberForm) -> None:
        super().__init__(payloads, rows)
        self._form, self._wire = form, np.dtype(form.wire)
        self._values: npt.NDArray[Any] = np.zeros(rows, self._wire.newbyteorder("="))

    def read(self, rows: Rows, at: Int64Array, head: WordArray, length: LengthArray, sent: BoolArray | None) -> None:
        """As of `Column`."""
        require_size(length, self._wire.itemsize, sent)
        # The first bytes of the value are the lowest of a word's.
        words = self.payloads.words[at] if self._wire.itemsize > 4 else head >> _UPPER_HALF_BITS
        narrow = words.astype(f"<u{self._wire.itemsize}", copy=False)
        values = narrow.view(self._wire).astype(self._values.dtype)
        if sent is not None:
            values[~sent] = 0
        self._values[rows] = self._since_1970(values) if self._form.epoch else values

    def _since_1970(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Times and dates: the extremes are infinities, in Postgres (timestamp.h) as in DuckDB."""
        least, most = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
        epoch = values.dtype.type(self._form.epoch)
        moved: npt.NDArray[Any] = values + epoch
        low, high = values.min(), values.max()
        if low == least or high > most - epoch:
            late, early = values == most, values == least
            if ((values > most - epoch) & ~late).any():
                raise NeedsText("a time is later than DuckDB's last")
            moved[late], moved[early] = most, -most
        return moved

    def to_arrow(self) -> pa.Array:
        """As of `Column`."""
        if self._form.arrow == pa.bool_():
            return self.array(pa.bool_(), pa.py_buffer(np.packbits(self._values != 0, bitorder="little")))
        return self.array(self._form.arrow, pa.py_buffer(self._values))


class _Uuids(_Nullable):
    """UUIDs, as Arrow's extension type that DuckDB knows."""

    def __init__(self, payloads: Payloads, rows: int) -> None:
        super().__init__(payloads, rows)
        self._halves: WordArray = np.zeros((rows, 2), np.uint64)

    def read(self, rows: Rows, at: Int64Array, head: WordArray, length: LengthArray, sent: BoolArray | None) -> None:
        """As of `Column`."""
        del head
        require_size(length, 16, sent)
        self._halves[rows, 0] = self.payloads.words[at]
        self._halves[rows, 1] = self.payloads.words[at + 8]

    def to_arrow(self) -> pa.Array:
        """As of `Column`."""
        storage = self.array(pa.binary(16), pa.py_buffer(self._halves))
        return pa.ExtensionArray.from_storage(pa.uuid(), storage)


class _Decimals(_Nullable):
    """Numerics that fit 64 bits when the point is left out; what does not is left to the text form.

    A numeric is sent as its number of digits to the base 10000, the weight of the first of them (its power of 10000),
    sign, scale, and the digits, all 16 bits; without zeros at either end (numeric.c: `numeric_send`).
    """

    _HEADER_BYTES, _DIGITS = 8, 4  # of decimal digits in one of its own
    _MOST_DIGITS = 18  # decimal ones: so many always fit 64 bits
    _NEGATIVE, _SPECIAL = 0x4000, 0xC000  # NaN and the infinities
    _POWERS = 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.int64)

    def __init__(self, payloads: Payloads, rows: int, form: DecimalForm) -> None:
        super().__init__(payloads, rows)
        self._form = form
        self._values: Int64Array = np.zeros(rows, np.int64)

    def read(self, rows: Rows, at: Int64Array, head: WordArray, length: LengthArray, sent: BoolArray | None) -> None:
        """As of `Column`."""
        del head
        header = self.payloads.words[at].byteswap()
        if sent is not None:
            header *= sent
        count = (header >> np.uint64(48)).astype(np.int64)
        weight = (header >> np.uint64(32)).astype(np.int16).astype(np.int64)
        sign = (header >> np.uint64(16)).astype(np.uint16)
        size = self._HEADER_BYTES + 2 * count
        if ((size != length) if sent is None else (size != length) & sent).any():
            raise ProtocolError("has a numeric whose size is not that of its digits")
        power = self._DIGITS * weight + self._form.scale  # of ten, that the first digit counts
        if (sign & self._SPECIAL == self._SPECIAL).any() or (power[count > 0] > self._MOST_DIGITS).any():
            raise NeedsText("a numeric has no value of 64 bits")
        values = np.zeros(len(at), np.int64)
        for place in range(int(count.max(initial=0))):
            here = count > place
            digits = self._digits(at, place, here)
            values += self._worth(digits, power - self._DIGITS * place, here)
        if (values >= 10 ** min(self._form.width, self._MOST_DIGITS)).any():
            raise NeedsText("a numeric has more digits than its column")
        self._values[rows] = np.where(sign == self._NEGATIVE, -values, values)

    def _digits(self, at: Int64Array, place: int, here: BoolArray) -> Int64Array:
        where = np.where(here, at + self._HEADER_BYTES + 2 * place, 0)
        digits = self.payloads.words[where].astype(np.uint16).byteswap() * here
        if (digits >= 10**self._DIGITS).any():
            raise ProtocolError("has a numeric with a digit that is none")
        return digits.astype(np.int64)

    def _worth(self, digits: Int64Array, power: Int64Array, here: BoolArray) -> Int64Array:
        """What digits count at these powers of ten. Raises `NeedsText` when a part would be lost."""
        whole = self._POWERS[np.clip(power, 0, self._MOST_DIGITS)]
        if (digits >= self._POWERS[-1] // whole)[here].any():
            raise NeedsText("a numeric has no value of 64 bits")
        if (power[here] >= 0).all():
            return digits * whole
        divisor = self._POWERS[np.clip(-power, 0, self._DIGITS)]
        worth = digits // divisor
        if (worth * divisor != digits).any():
            raise NeedsText("a numeric has more digits behind the point than its column")
        return worth * whole

    def to_arrow(self) -> pa.Array:
        """As of `Column`."""
        halves = np.empty((len(self._values), 2), np.int64)
        halves[:, 0] = self._values
        halves[:, 1] = self._values >> 63
        return self.array(pa.decimal128(self._form.width, self._form.scale), pa.py_buffer(halves))


def require_size(length: LengthArray, size_bytes: int, sent: BoolArray | None) -> None:
    """Raises `ProtocolError` when a value that was sent has another size."""
    wrong = length != size_bytes
    if (wrong if sent is None else wrong & sent).any():
        raise ProtocolError(f"has a value that is not the {size_bytes} bytes long that its type is")
