"""A table left the publication when its copy had been read in full: that joined a stream that brought nothing more."""

STEPS = [
    ("create_table", "t0", "default", (("k0", "int"), ("c0", "bigint"), ("c1", "text"))),
    ("view", "v0", "t0", ("c0",), None),
    ("view", "v1", "t0", ("c1",), None),
    ("sync",),
    ("copy", 9),
    ("all",),
    ("tx", (("insert", "t0", 1),)),
    ("refresh", "v1"),
    ("copy", 9),
    ("drop_column", "t0", "c0"),
    ("sync",),
    ("all",),
    ("keepalive",),
    ("tx", (("insert", "t0", 2),)),
    ("all",),
    ("keepalive",),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, False
