"""A table left the publication and came back between two looks: what was written meanwhile was never sent."""

STEPS = [
    ("create_table", "t0", "default", (("k0", "int"), ("c0", "int"))),
    ("create_table", "t1", "bag", (("k0", "int"), ("c0", "text"))),
    ("tx", (("fill", "t0", 1, 5), ("fill", "t1", 1, 5))),
    ("view", "v0", "t0", "*", None),
    ("view", "v1", "t1", "*", None),
    ("sync",),
    ("copy", 9),
    ("all",),
    ("unpublish", "t0"),
    ("tx", (("fill", "t0", 50, 5), ("delete", "t0", 1), ("insert", "t1", 60))),
    ("republish", "t0"),
    ("tx", (("insert", "t0", 70), ("insert", "t1", 71))),
    ("all",),
    ("keepalive",),
    ("sync",),
    ("copy", 9),
    ("all",),
    ("drop_publication",),
    ("remake_publication",),
    ("tx", (("insert", "t0", 80), ("insert", "t1", 81))),
    ("all",),
    ("keepalive",),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, False
