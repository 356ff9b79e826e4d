"""Whether a table's rows changed without a word in its stream: its shape in the origin's catalog, then and now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from flashql.catalog import Shape, Table


def undisturbed(before: Shape, now: Shape) -> bool:
    """Whether everything that happened to a table's rows between two looks is in its stream.

    - A name that belongs to another column now (dropped and added, or renamed) has that one's values.
    - ALTER COLUMN ... TYPE ... USING writes the table to a new file and the column's catalog row anew, in one
      transaction. TRUNCATE (in the stream), VACUUM FULL and CLUSTER do only the first, SET NOT NULL only the second.
    - Of a partition nothing but its rows' changes is in the root's stream: neither its TRUNCATE, DROP, DETACH nor
      ALTER, nor the rows it had when it was attached.
    - A label or attribute that is gone, or renamed, changes how existing values are printed; labels may be added.

    >>> undisturbed(Shape(7, (("a", 1, "90"),)), Shape(8, (("a", 1, "90"),)))
    True
    >>> undisturbed(Shape(7, (("a", 1, "90"),)), Shape(8, (("a", 1, "91"),)))
    False
    """
    columns = {name: (number, version) for name, number, version in now.columns}
    for name, number, version in before.columns:
        number_now, version_now = columns.get(name, (0, ""))
        if number_now != number or (version_now != version and now.file != before.file):
            return False
    added = set(now.partitions) - set(before.partitions)
    return (
        set(before.partitions) <= set(now.partitions)
        and added <= set(now.streamed)
        and set(before.types) <= set(now.types)
    )


def shape_of(table: Table, columns: Collection[str]) -> Shape | None:
    """What a copy of these columns keeps of the table's shape."""
    if table.shape is None:
        return None
    kept = tuple(column for column in table.shape.columns if column[0] in columns)
    types = tuple(part for part in table.shape.types if part[0] in columns)
    return replace(table.shape, columns=kept, streamed=(), types=types)
