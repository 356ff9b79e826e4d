"""A view failed, since a column was dropped: what was still under way reached the rows it was to keep."""

STEPS = [
    ("create_table", "t0", "bag", (("k0", "int"), ("c0", "bigint"), ("c1", "text"), ("c2", "text"))),
    ("view", "v0", "t0", "*", ("c2", "IS NOT NULL")),
    ("sync",),
    ("tx", (("insert", "t0", 1),)),
    ("copy", 4),
    ("drop_column", "t0", "c0"),
    ("sync",),
]
HOLD_BYTES, SENDS_EMPTY = 200, True
