"""A table rewritten between a snapshot and its reading looks empty there: it is read again from a newer one."""

STEPS = [
    ("create_table", "t0", "default", (("k0", "int"), ("c0", "int"))),
    ("tx", (("fill", "t0", 1, 12),)),
    ("view", "v0", "t0", "*", None),
    ("sync",),
    ("rewrite", "t0", "c0"),
    ("copy", 9),
    ("all",),
    ("keepalive",),
    ("copy", 9),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, False
