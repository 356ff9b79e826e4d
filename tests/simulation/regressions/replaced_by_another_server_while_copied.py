"""A copy that goes on while it is replaced loses its slot: its views claim how far it had come, not how far before."""

STEPS = [
    ("create_table", "t1", "default", (("c3", "int"), ("c2", "text"), ("k0", "int"))),
    ("tx", (("fill", "t1", 95, 8),)),
    ("view", "v4", "t1", ("c2",), None),
    ("sync",),
    ("copy", 9),
    ("view", "v2", "t1", ("c3",), ("c3", "> 10")),
    ("sync",),
    ("tx", (("delete", "t1", 34),)),
    ("all",),
    ("new_system",),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, True
