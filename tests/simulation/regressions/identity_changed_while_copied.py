"""REPLICA IDENTITY went from FULL to DEFAULT while changes waited: toasted values that were not sent became NULL."""

STEPS = [
    ("create_table", "t0", "full", (("k0", "int"), ("c0", "text"))),
    ("tx", (("fill", "t0", 1, 12),)),
    ("view", "v0", "t0", "*", None),
    ("sync",),
    ("identity", "t0", "default"),
    ("tx", tuple(("touch", "t0", at) for at in range(9))),
    ("all",),
    ("copy", 9),
    ("all",),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, False
