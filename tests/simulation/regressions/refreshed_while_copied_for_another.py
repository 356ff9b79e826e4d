"""Its copy went on while another was made for a view with more columns; then REFRESH: it claimed less than it had."""

STEPS = [
    ("create_table", "t2", "default", (("k0", "int"), ("c0", "int"), ("c1", "numeric"), ("c2", "bigint"))),
    ("tx", (("fill", "t2", 64, 3),)),
    ("view", "v3", "t2", ("c2",), ("c0", "IS NOT NULL")),
    ("sync",),
    ("copy", 9),
    ("view", "v1", "t2", "*", ("c0", "> 10")),
    ("sync",),
    ("tx", (("delete", "t2", 30),)),
    ("all",),
    ("refresh", "v3"),
]
HOLD_BYTES, SENDS_EMPTY = 200, False
