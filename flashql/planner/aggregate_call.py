"""A call of an aggregate on its way to DuckDB's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from flashql.planner.scalars import Scalar

Wrap = Callable[[exp.Expr], exp.Expr]


@dataclass(frozen=True)
class Call:
    """An aggregate's arguments, translated, and what DuckDB's call of it is put into (FILTER, OVER)."""

    name: str
    arguments: tuple[Scalar, ...]
    distinct: bool
    order: tuple[exp.Expr, ...]  # exp.Ordered, translated
    wrap: Wrap
    window_order: tuple[exp.Expr, ...] = ()  # of the window it is over: rows come in that order
    floats_in_any_order: bool = False  # the view takes what floats add up to in any order
    place: int | None = None  # of the one element that is asked for, from 1: `(array_agg(x ORDER BY y))[1]`

    @property
    def argument(self) -> Scalar:
        """The first argument."""
        return self.arguments[0]

    def made(self, kind: type[exp.Expr], argument: Scalar | None = None, **more: object) -> exp.Expr:
        """DuckDB's call of one argument, DISTINCT and ORDER BY in it, wrapped."""
        node: exp.Expr = (argument or self.argument).node.copy()
        if self.distinct:
            node = exp.Distinct(expressions=[node])
        if self.order:
            node = exp.Order(this=node, expressions=[one.copy() for one in self.order])
        return self.wrap(kind(this=node, **more))
