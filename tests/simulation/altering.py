"""Steps at the server that are SQL: what they do to the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.simulation.server import ModelTable, Server, value_of
from tests.simulation.steps import Step


def carried_out(server: Server, step: Step) -> bool:
    """Carry out a transaction, a part of one, or a schema change; False when the step is none of these."""
    server.done = []
    match step:
        case ("tx", operations):
            server.begin("")
            for operation in operations:
                server.operate("", operation)
            server.commit("")
        case ("begin" | "commit" | "abort" as kind, x):
            getattr(server, kind)(x)
        case ("op", x, operation):
            server.operate(x, operation)
        case ("create_table", name, identity, columns):
            server.create_table(name, identity, dict(columns))
        case ("drop_table", name):
            server.drop_table(name)
        case (
            "rename_table"
            | "add_column"
            | "drop_column"
            | "rename_column"
            | "retype"
            | "rewrite"
            | "vacuum_full"
            | "identity",
            name,
            *_,
        ):
            if name in server.state:
                _alter(server, server.state[name], step)
        case _:
            return False
    return True


def _alter(server: Server, table: ModelTable, step: Step) -> None:
    name = table.name
    columns = {column.name: column for column in table.columns}
    silent: tuple[tuple[str, str], ...] = ()
    changes: dict[str, object] = {}
    match step:
        case ("rename_table", _, new) if new not in server.state:
            changes, silent = {"name": new}, ((name, "*"), (new, "*"))
        case ("add_column", _, new, kind, number) if new not in columns:
            made = replace(table.columns[0], name=new, number=server.new_number(), kind=kind)
            value = value_of(kind, number)
            changes = {"columns": (*table.columns, made)}
            rows = {rid: {**row, made.number: value} for rid, row in table.rows.items()}
            end = server.alter(name, **changes, rows=rows)
            if end is not None:  # a default that is no expression rewrites nothing
                server.state = {
                    **server.state,
                    name: replace(server.state[name], file=table.file, emptied_lsn=table.emptied_lsn),
                }
                server.history[-1] = (end, server.state)
                server.silent[name, new] = end
            return
        case ("drop_column", _, gone) if gone in columns and not gone.startswith("k"):
            kept = tuple(column for column in table.columns if column.name != gone)
            changes, silent = {"columns": kept}, ((name, gone),)
        case ("rename_column", _, old, new) if old in columns and new not in columns:
            changes = {"columns": _with(server, table, old, {"name": new})}
            silent = ((name, old), (name, new))
        case ("retype", _, column, kind, _) if (columns[column].kind if column in columns else "", kind) in (
            ("int", "bigint"),
            ("int", "text"),
            ("bigint", "text"),
            ("numeric", "text"),
        ):
            changes = {"columns": _with(server, table, column, {"kind": kind}), "rows": dict(table.rows)}
            silent = ((name, column),)
        case ("rewrite", _, column) if column in columns and columns[column].kind in ("int", "bigint"):
            at = columns[column].number
            rows = {
                rid: {**row, at: None if row.get(at) is None else str(int(str(row[at])) + 1)}
                for rid, row in table.rows.items()
            }
            changes, silent = {"columns": _with(server, table, column, {}), "rows": rows}, ((name, column),)
        case ("vacuum_full", _):
            changes = {"file": table.file + 1}
        case ("identity", _, kind) if table.identity != "bag":
            changes = {"identity": kind}
    if changes and (end := server.alter(name, **changes)) is not None:
        server.silent.update(dict.fromkeys(silent, end))


def _with(server: Server, table: ModelTable, name: str, changes: dict[str, Any]) -> tuple[Any, ...]:
    version = server.new_number()
    return tuple(
        replace(column, version=version, **changes) if column.name == name else column for column in table.columns
    )
