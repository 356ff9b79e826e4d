"""The forms in which a stream sends values, and which of them are read from a type's binary form.

In text form every value is what its type's output function prints. In binary form (pgoutput's option `binary`) it is
what the type's send function writes: less work for the origin, and for us, since nothing has to be parsed. It is asked
for where each column that is read has a form here; the rules are those of the send functions named below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flashql.datatypes import PgType

MICROSECONDS_TO_2000, DAYS_TO_2000 = 946_684_800_000_000, 10_957  # from 1970, where DuckDB and Arrow begin


@dataclass(frozen=True)
class Form:
    """A value that is bytes: text (checked to be UTF-8) or not, behind `skipped` bytes that are always `prefix`."""

    is_text: bool = True
    prefix: bytes = b""


@dataclass(frozen=True)
class NumberForm:
    """A number of fixed size in network order; `epoch` is added, except to the infinities: its extremes."""

    wire: npt.DTypeLike
    arrow: pa.DataType
    epoch: int = 0


@dataclass(frozen=True)
class DecimalForm:
    """A numeric that is held as DECIMAL(width, scale) (numeric.c: `numeric_send`)."""

    width: int
    scale: int


@dataclass(frozen=True)
class UuidForm:
    """Sixteen bytes."""


AnyForm = Form | NumberForm | DecimalForm | UuidForm

TEXT, BYTES = Form(), Form(is_text=False)
_JSONB = Form(prefix=b"\1")  # jsonb.c: `jsonb_send` begins with a version
_INT16, _INT32, _INT64 = np.dtype(">i2"), np.dtype(">i4"), np.dtype(">i8")

# By oid (pg_type.dat), each with the DuckDB type that holds exactly these values.
_FORMS: dict[int, tuple[str, AnyForm]] = {
    16: ("BOOLEAN", NumberForm(np.dtype("u1"), pa.bool_())),
    21: ("SMALLINT", NumberForm(_INT16, pa.int16())),
    23: ("INTEGER", NumberForm(_INT32, pa.int32())),
    20: ("BIGINT", NumberForm(_INT64, pa.int64())),
    26: ("UINTEGER", NumberForm(np.dtype(">u4"), pa.uint32())),
    700: ("FLOAT", NumberForm(np.dtype(">f4"), pa.float32())),
    701: ("DOUBLE", NumberForm(np.dtype(">f8"), pa.float64())),
    1082: ("DATE", NumberForm(_INT32, pa.date32(), DAYS_TO_2000)),
    1114: ("TIMESTAMP", NumberForm(_INT64, pa.timestamp("us"), MICROSECONDS_TO_2000)),
    1184: ("TIMESTAMP WITH TIME ZONE", NumberForm(_INT64, pa.timestamp("us", "UTC"), MICROSECONDS_TO_2000)),
    2950: ("UUID", UuidForm()),
    17: ("BLOB", BYTES),
    25: ("VARCHAR", TEXT),
    1043: ("VARCHAR", TEXT),
    1042: ("VARCHAR", TEXT),
    19: ("VARCHAR", TEXT),
    114: ("JSON", TEXT),
    3802: ("JSON", _JSONB),
}
_NUMERIC_OID = 1700
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def binary_form(type_: PgType, local: str) -> AnyForm | None:
    """The form of a type's binary values where they can be read as the DuckDB type `local`; None where not.

    >>> binary_form(PgType(1700, typmod=655366), "DECIMAL(10,2)")
    DecimalForm(width=10, scale=2)
    >>> binary_form(PgType(1700), "VARCHAR") is None
    True
    """
    if type_.kind == "e":
        return TEXT if local == "VARCHAR" else None  # enum.c: `enum_send` writes the label
    if type_.oid == _NUMERIC_OID:
        size = _DECIMAL.fullmatch(local)
        return DecimalForm(int(size[1]), int(size[2])) if size else None
    held, form = _FORMS.get(type_.oid, ("", None))
    as_text = isinstance(form, Form) and form.is_text and local == "VARCHAR"
    return form if held == local or as_text else None
