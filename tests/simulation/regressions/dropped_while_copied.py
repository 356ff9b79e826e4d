"""The last view of an origin was dropped while its table was copied: the changes that waited stayed in the file."""

STEPS = [
    ("create_table", "t0", "bag", (("k0", "int"), ("c0", "text"), ("c1", "text"), ("c2", "bigint"), ("c3", "numeric"))),
    ("view", "v2", "t0", "*", None),
    ("sync",),
    ("drop_view", "v2"),
]
HOLD_BYTES, SENDS_EMPTY = 200, True
