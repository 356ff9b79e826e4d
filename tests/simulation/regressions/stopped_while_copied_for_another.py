"""A view is stopped while its copy, which goes on, is replaced for another: its rows are as of what it claims."""

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
    ("stop", "v4"),
    ("stop", "v2"),
]
HOLD_BYTES, SENDS_EMPTY = 32 << 20, True
