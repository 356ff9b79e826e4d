"""Schedules: lists of steps, as plain data, drawn from a seed. Any subset of one is a schedule too.

A step is a tuple. At the server:

    ("tx", (operation, ...))                      one transaction
    ("begin", x), ("op", x, operation), ("commit", x), ("abort", x)     transactions that interleave
    ("create_table", t, identity, ((column, type), ...)), ("drop_table", t), ("rename_table", t, new)
    ("add_column", t, c, type, n), ("drop_column", t, c), ("rename_column", t, c, new), ("retype", t, c, type)
    ("rewrite", t, c): ALTER COLUMN ... TYPE ... USING with other values; ("vacuum_full", t); ("identity", t, kind)
    ("lose_slot",), ("drop_slot",), ("recreate_slot",)
    ("drop_publication",), ("remake_publication",), ("unpublish", t), ("republish", t): by someone else
    ("restart",), ("new_system",), ("restore", commits, keeps_slots, new_timeline)

with operations ("insert", t, n), ("fill", t, n, count), ("update", t, i, n), ("move", t, i, n) which changes the key,
("touch", t, i) which changes nothing, ("swap", t, i, j), ("delete", t, i), ("truncate", t, ...): i and j choose among
the rows there are, n stands for values; ("savepoint",), ("rollback",) to the latest savepoint, ("release",) of it.
On the way: ("deliver", frames), ("all",), ("keepalive",), ("cut",), ("copy", n): the copying goes on up to its n-th
next halt. Here: ("view", v, t, columns or "*", condition or None), ("drop_view", v), ("stop", v), ("resume", v),
("sync",), ("look",), ("refresh", v), ("forget", v), ("reopen",), ("crash",),
("wake",), ("refuse", n): a before_sync hook refuses the next n commits.
("later", n, step): the step happens just before the n-th call of the origin, or (a crash) local commit, from now.
"""

from __future__ import annotations

import random
from typing import Any

Step = tuple[Any, ...]

TABLES = ("t0", "t1", "t2")
VIEWS = ("v0", "v1", "v2", "v3", "v4")
COLUMNS = ("c0", "c1", "c2", "c3")
KINDS = ("int", "text", "text", "numeric", "boolean", "bigint")


def schedule(chance: random.Random, length: int) -> list[Step]:
    """A random schedule: some tables with rows, views of them, then everything."""
    steps: list[Step] = []
    for table in TABLES[: chance.randint(1, 3)]:
        steps.append(_table(chance, table))
        steps.append(("tx", (("fill", table, chance.randrange(100), chance.randint(0, 15)),)))
    steps += [_view(chance) for _ in range(chance.randint(1, 3))]
    steps += [("sync",), ("copy", 9), ("all",), ("copy", 9), ("all",)]
    # Some seeds have only data and network, some all: a rare case is seen best where little else happens.
    weights = list(_WEIGHTS.items())
    kept = [(name, weight if weight > 2 or chance.random() < 0.35 else 0) for name, weight in weights]
    for _ in range(length):
        (name,) = chance.choices([name for name, _ in kept], [weight for _, weight in kept])
        steps.append(step(chance, name))
        if name in ("view", "refresh") and chance.random() < 0.7:  # what is written now meets the copying
            steps += [("sync",), step(chance, "tx"), ("all",), step(chance, "tx")]
        if name in _PUT_BACK and chance.random() < 0.6:  # before anybody looks
            steps += [("tx", (("fill", chance.choice(TABLES), 500, 5),)), (_PUT_BACK[name], *steps[-1][1:])]
    return steps


def controlled(chance: random.Random, steps: list[Step]) -> list[Step]:
    """The schedule, with hooks that refuse, and passes that nobody waits for, here and there."""
    steps = list(steps)
    for _ in range(chance.randint(2, 8)):
        steps.insert(chance.randrange(len(steps)), ("refuse", chance.randint(1, 3)))
    for _ in range(chance.randint(1, 5)):
        steps.insert(chance.randrange(len(steps)), ("wake",))
    return steps


_PUT_BACK = {"unpublish": "republish", "drop_publication": "remake_publication"}
_WEIGHTS = {
    "tx": 25, "begin": 6, "op": 14, "commit": 7, "abort": 2, "deliver": 12, "all": 8, "keepalive": 4, "copy": 12,
    "cut": 2, "later": 2, "crash": 2, "reopen": 2, "view": 4, "stop": 2, "resume": 2, "drop_view": 1, "sync": 5,
    "look": 3, "refresh": 3, "forget": 0.5, "add_column": 1, "drop_column": 0.5, "rename_column": 0.5, "retype": 1,
    "rewrite": 1, "vacuum_full": 1, "identity": 1, "drop_table": 0.5, "create_table": 1, "rename_table": 0.3,
    "lose_slot": 0.5, "drop_slot": 0.5, "recreate_slot": 0.5, "drop_publication": 0.5, "unpublish": 0.7, "republish": 1,
    "remake_publication": 0.5, "restart": 1, "new_system": 0.3, "restore": 0.5,
}  # fmt: skip

_AT_SERVER = (
    "tx", "tx", "commit", "rewrite", "retype", "drop_column", "rename_column", "drop_table", "identity", "unpublish",
    "republish", "cut", "crash", "crash", "restart", "drop_slot", "truncate",
)  # fmt: skip


def _table(chance: random.Random, name: str) -> Step:
    columns = [("k0", chance.choice(("int", "int", "text")))]
    if chance.random() < 0.3:
        columns.append(("k1", "int"))
    columns += [(column, chance.choice(KINDS)) for column in COLUMNS[: chance.randint(1, 4)]]
    if chance.random() < 0.3:
        columns.reverse()
    return ("create_table", name, chance.choice(("default", "default", "index", "full", "bag", "bag")), tuple(columns))


def _view(chance: random.Random) -> Step:
    columns: Any = "*"
    if chance.random() < 0.4:
        columns = tuple(chance.sample(COLUMNS, chance.randint(1, 2)))
    condition = None
    if chance.random() < 0.4:
        condition = (chance.choice(COLUMNS), chance.choice(("IS NULL", "IS NOT NULL", "> 10")))
    return ("view", chance.choice(VIEWS), chance.choice(TABLES), columns, condition)


_OF_SAVEPOINTS = ("savepoint", "rollback", "release")


def operation(chance: random.Random) -> Step:
    """One operation of a transaction."""
    table, some, number = chance.choice(TABLES), chance.randrange(40), chance.randrange(1000)
    kinds = (*("insert", "update", "move", "touch", "swap", "delete", "fill", "truncate"), *_OF_SAVEPOINTS)
    match chance.choices(kinds, (8, 8, 4, 3, 2, 4, 1.5, 1, 2, 1.5, 0.7))[0]:
        case "savepoint" | "rollback" | "release" as kind:
            return (kind,)
        case "insert":
            return ("insert", table, number)
        case "touch" | "delete" as kind:
            return (kind, table, some)
        case "swap":
            return ("swap", table, some, chance.randrange(40))
        case "fill":
            return ("fill", table, number, chance.randint(5, 40))
        case "truncate":
            return ("truncate", *chance.sample(TABLES, chance.randint(1, 2)))
        case kind:
            return (kind, table, some, number)


def step(chance: random.Random, name: str) -> Step:
    """One step of that kind."""
    table, view, x = chance.choice(TABLES), chance.choice(VIEWS), chance.choice("xyz")
    column = chance.choice(COLUMNS)
    match name:
        case "tx":
            return ("tx", tuple(operation(chance) for _ in range(chance.randint(1, 6))))
        case "truncate":
            return ("tx", (("truncate", table),))
        case "begin" | "commit" | "abort":
            return (name, x)
        case "op":
            return ("op", x, operation(chance))
        case "deliver":
            return ("deliver", chance.choice((1, 2, 3, 5, 10)))
        case "copy":
            return ("copy", chance.randint(1, 4))
        case "view":
            return _view(chance)
        case "stop" | "resume" | "drop_view" | "refresh" | "forget":
            return (name, view)
        case "create_table":
            return _table(chance, table)
        case "drop_table" | "vacuum_full" | "unpublish" | "republish":
            return (name, table)
        case "rename_table":
            return (name, table, chance.choice(TABLES))
        case "add_column" | "retype":
            return (name, table, column, chance.choice(("bigint", "text", "int")), chance.randrange(100))
        case "drop_column" | "rewrite":
            return (name, table, column)
        case "rename_column":
            return (name, table, column, chance.choice(COLUMNS))
        case "identity":
            return (name, table, chance.choice(("default", "full", "index")))
        case "restore":
            return (name, chance.randint(1, 5), chance.random() < 0.5, chance.random() < 0.5)
        case "later":
            return ("later", chance.randint(1, 14), step(chance, chance.choice(_AT_SERVER)))
    return (name,)
