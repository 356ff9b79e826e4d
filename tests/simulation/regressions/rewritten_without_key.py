"""A table without key is rewritten, and a row of it changed before anybody looked: until then both are here."""

STEPS = [
    ("create_table", "t0", "bag", (("k0", "int"), ("c0", "int"), ("c1", "text"), ("c2", "text"))),
    ("view", "v0", "t0", ("c2", "c1"), ("c0", "IS NULL")),
    ("sync",),
    ("copy", 9),
    ("begin", "z"),
    ("view", "v1", "t0", "*", None),
    ("sync",),
    ("tx", (("insert", "t0", 28),)),
    ("tx", (("update", "t0", 8, 669),)),
    ("rewrite", "t0", "c0"),
    ("op", "z", ("update", "t0", 37, 338)),
]
HOLD_BYTES, SENDS_EMPTY, STREAM_AFTER = 32 << 20, False, 1
