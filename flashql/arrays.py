"""numpy's arrays as Arrow's.

`pyarrow.array` would do, but imports pandas, where that is installed, to see whether it was given a Series: half a
second amid the first batch of a stream.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def to_arrow(array: npt.NDArray[np.generic]) -> pa.Array:
    """The array as an Arrow array of the same type, without nulls; integers are not copied.

    >>> to_arrow(np.array([True, False, True])).to_pylist()
    [True, False, True]
    >>> to_arrow(np.array([3, 4], np.uint8)).type
    DataType(uint8)
    """
    if array.dtype == np.bool_:
        bits = np.packbits(array.view(np.uint8), bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(array), [None, pa.py_buffer(bits)])
    plain = np.ascontiguousarray(array)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(plain)])
