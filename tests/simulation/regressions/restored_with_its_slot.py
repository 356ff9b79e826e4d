"""A server was put back as it had been, slot and all: the copies kept what it no longer had, for good."""

STEPS = [
    ("create_table", "t0", "default", (("k0", "int"), ("c0", "int"))),
    ("view", "v0", "t0", "*", None),
    ("sync",),
    ("copy", 9),
    ("all",),
    ("copy", 9),
    ("tx", (("insert", "t0", 2),)),
    ("tx", (("insert", "t0", 3),)),
    ("all",),
    ("keepalive",),
    ("restore", 1, True, False),
    ("tx", (("insert", "t0", 8), ("insert", "t0", 9))),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, False
