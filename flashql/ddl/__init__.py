"""FlashQL's statements: the text of a script to values.

`parse_script` is the way in. Data flows names -> options -> statements -> tokenizer -> phrases -> dialect -> touching;
a module imports only what stands before it.
"""

from flashql.ddl.dialect import FlashQL, parse_script
from flashql.ddl.names import RelationName
from flashql.ddl.options import parse_interval_seconds
from flashql.ddl.statements import (
    AlterSchema,
    AlterView,
    CreateSchema,
    CreateView,
    DropView,
    ExplainQuery,
    ExplainView,
    LocalSQL,
    ParameterText,
    RefreshView,
    Statement,
)
from flashql.ddl.touching import Touch, touch_of

__all__ = [
    "AlterSchema",
    "AlterView",
    "CreateSchema",
    "CreateView",
    "DropView",
    "ExplainQuery",
    "ExplainView",
    "FlashQL",
    "LocalSQL",
    "ParameterText",
    "RefreshView",
    "RelationName",
    "Statement",
    "Touch",
    "parse_interval_seconds",
    "parse_script",
    "touch_of",
]
