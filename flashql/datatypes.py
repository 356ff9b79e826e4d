"""Postgres types and how DuckDB holds them: one row per type, and the SQL that turns Postgres's text into it.

Text is what Postgres's output functions print under DateStyle=ISO, IntervalStyle=postgres, TimeZone=UTC,
extra_float_digits >= 1, bytea_output=hex and client_encoding=UTF8: the stream sends it, snapshots select it,
but for what comes as Arrow's own values (native.py).
A value is held exactly or not at all: where a type has values DuckDB cannot hold, its ladder has wider rungs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache

from flashql.errors import DefinitionError


@dataclass(frozen=True)
class PgType:
    """A type at the origin, domains already resolved to what is below them."""

    oid: int
    typmod: int = -1
    name: str = ""  # format_type() of the declared type: 'numeric(10,2)', 'text[]', a domain's name
    kind: str = "b"  # pg_type.typtype: b base, e enum, c composite, r range, m multirange, p pseudo
    element: PgType | None = None  # of an array's elements
    labels: tuple[str, ...] = field(default=(), compare=False)  # an enum's in their order, of a table's column


@dataclass(frozen=True)
class LocalType:
    """A DuckDB type that holds an origin's values, and the SQL that gets them in from text."""

    name: str  # as DuckDB's typeof() spells it: 'DECIMAL(38,9)'
    reader: str = "{text}"  # DuckDB SQL over {text}: the value
    condition: str = "true"  # DuckDB SQL over {text}: whether the value can be held

    def from_text(self, expr: str) -> str:
        """DuckDB SQL for the value of the text `expr`: exact, NULL for NULL, an error for what does not fit.

        `expr` may occur several times in the result, so it should be a column or cheap.

        >>> LocalType("INTEGER", "CAST({text} AS INTEGER)").from_text("x")
        'CAST(x AS INTEGER)'
        """
        return _fill(self.reader, expr)

    def fits(self, expr: str) -> str:
        """DuckDB SQL that says whether the text `expr` can be held exactly; NULL fits. It never raises."""
        return _fill(self.condition, expr)


def _fill(template: str, expr: str) -> str:
    """The template over `expr`, in parentheses unless it is a plain name."""
    return template.replace("{text}", expr if re.fullmatch(r'[\w."]+', expr) else f"({expr})")


@dataclass(frozen=True)
class TypeRow:
    """One Postgres type: its name and oid (pg_type.dat), its ladder, and what a user should know."""

    name: str
    oid: int
    rungs: tuple[LocalType, ...]
    note: str = ""

    @property
    def duckdb(self) -> str:
        """The DuckDB type that is tried first."""
        return self.rungs[0].name


_TEXT = LocalType("VARCHAR")


def _refuse(name: str) -> str:
    """SQL that raises for {text}; it reads the text so that DuckDB cannot evaluate it while planning."""
    return f"error('this value does not fit {name}: ' || left({{text}}, 60))"


def _cast(name: str) -> LocalType:
    """A type that DuckDB's own CAST reads exactly, for every value that Postgres prints."""
    return LocalType(name, f"CAST({{text}} AS {name})")


def _checked(name: str) -> LocalType:
    """A type that DuckDB's own CAST reads exactly or not at all."""
    condition = f"({{text}} IS NULL OR TRY_CAST({{text}} AS {name}) IS NOT NULL)"
    return LocalType(name, f"CAST({{text}} AS {name})", condition)


# '0044-03-15 10:00:00 BC' -> '0044-03-15 (BC) 10:00:00'. Never left to DuckDB: it may drop the era.
_ERA = "CASE WHEN suffix({text}, ' BC') THEN regexp_replace({text}, '^(\\S+)(.*) BC$', '\\1 (BC)\\2') ELSE {text} END"


def _moment(name: str, *, total: bool) -> LocalType:
    """A date or timestamp. DuckDB's timestamps end on 294247-01-10, Postgres's with 294276; dates all fit."""
    condition = "true" if total else f"({{text}} IS NULL OR TRY_CAST({_ERA} AS {name}) IS NOT NULL)"
    return LocalType(name, f"CAST({_ERA} AS {name})", condition)


def _bytes() -> LocalType:
    """A bytea in its hex form; text in the escape form is refused, for it could pass for something else."""
    value = "unhex(substr({text}, 3))"
    return LocalType("BLOB", f"CASE WHEN NOT starts_with({{text}}, '\\x') THEN {_refuse('BLOB')} ELSE {value} END")


def _inet() -> LocalType:
    """An inet as its output function prints it; Postgres's cast to text would spell out a full mask."""
    return LocalType("VARCHAR", "regexp_replace({text}, '^([0-9.]+)/32$|/128$', '\\1')")


_INTERVAL_FIELDS = ("years", "mons", "days", "sign", "hours", "minutes", "seconds", "fraction")
_INTERVAL_TEXT = (
    r"^(?:([-+]?\d+) years? ?)?(?:([-+]?\d+) mons? ?)?(?:([-+]?\d+) days? ?)?"
    r"(?:([-+]?)(\d+):(\d+):(\d+)(?:\.(\d{1,6}))?)?$"
)


def _interval() -> LocalType:
    """Months, days and microseconds apart, as both databases keep them.

    DuckDB's own cast knows no '+', which Postgres prints after a negative it. The sign multiplies each part
    of the time because the most negative time has no positive counterpart in 64 bits.
    """

    # Fields in brackets: DuckDB 1.5 takes a dotted one for a column in ALTER TABLE ... USING.
    def number(field: str) -> str:
        return f"CAST(coalesce(nullif(flashql_parts['{field}'], ''), '0') AS BIGINT)"

    groups = ", ".join(f"'{field}'" for field in _INTERVAL_FIELDS)
    sign = "CASE WHEN flashql_parts['sign'] = '-' THEN -1 ELSE 1 END"
    time = " + ".join(
        f"{sign} * {number(field)} * {microseconds}"
        for field, microseconds in (("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000))
    )
    fraction = f"{sign} * CAST(rpad(flashql_parts['fraction'], 6, '0') AS BIGINT)"
    months = f"{number('years')} * 12 + {number('mons')}"
    value = f"to_months({months}) + to_days({number('days')}) + to_microseconds({time} + {fraction})"
    # A one-element list makes DuckDB take the text apart once, though the parts are named many times.
    value = f"[{value} FOR flashql_parts IN [regexp_extract({{text}}, '{_INTERVAL_TEXT}', [{groups}])]][1]"
    matches = f"regexp_matches({{text}}, '{_INTERVAL_TEXT}')"
    return LocalType(
        "INTERVAL",
        f"CASE WHEN {matches} THEN {value} WHEN {{text}} IS NOT NULL THEN {_refuse('INTERVAL')} END",
        f"({{text}} IS NULL OR {matches})",
    )


_WIDEST = 38  # digits of a DuckDB DECIMAL


def _decimal(width: int, scale: int) -> LocalType:
    """DECIMAL(width, scale), for values with up to `scale` digits after the point; zeros at the end are free.

    DuckDB's cast rounds what has more digits, so they are looked for first.
    """
    name = f"DECIMAL({width},{scale})"
    after_point = "strlen({text}) - strpos({text}, '.')"
    excess = (
        f"strpos({{text}}, '.') > 0 AND {after_point} > {scale} "
        f"AND regexp_matches({{text}}, '\\.\\d{{{scale}}}\\d*[1-9]')"
    )
    value, attempt = f"CAST({{text}} AS {name})", f"TRY_CAST({{text}} AS {name})"
    if width > 18 >= scale:  # DuckDB 1.5 reads 64-bit decimals a hundred times faster than 128-bit ones
        narrow = f"CAST(TRY_CAST({{text}} AS DECIMAL(18,{scale})) AS {name})"
        value, attempt = f"coalesce({narrow}, {value})", f"coalesce({narrow}, {attempt})"
    return LocalType(
        name,
        f"CASE WHEN {excess} THEN {_refuse(name)} ELSE {value} END",
        f"({{text}} IS NULL OR (NOT ({excess}) AND {attempt} IS NOT NULL))",
    )


def _numeric(typmod: int, choice: tuple[LocalType, ...]) -> tuple[LocalType, ...]:
    """The ladder of a numeric column: its declared size where a DECIMAL has it, else `choice`.

    The typmod is ((precision << 16) | scale) + 4, the scale signed in 11 bits (numeric.c).
    A negative scale adds digits before the point; one above the precision means zeros behind it. NaN is legal
    in every numeric, hence the second rung.
    """
    if typmod < 4:
        return choice
    precision, scale = (typmod - 4) >> 16, (((typmod - 4) & 0x7FF) ^ 0x400) - 0x400
    width = max(precision - min(scale, 0), scale)
    return (_decimal(width, max(scale, 0)), _TEXT) if width <= _WIDEST else choice


@lru_cache
def _numeric_choice(option: str) -> tuple[LocalType, ...]:
    """The ladder of a numeric without a size that DECIMAL has; raises `DefinitionError` for a bad option."""
    if option == "auto":
        return (*(_decimal(_WIDEST, scale) for scale in range(9, _WIDEST)), _TEXT)
    if option == "text":
        return (_TEXT,)
    match = re.fullmatch(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)", option.replace(" ", "").lower())
    if match and 1 <= (width := int(match[1])) <= _WIDEST and (scale := int(match[2])) <= width:
        return (_decimal(width, scale), _TEXT)
    raise DefinitionError(
        f"numeric = {option!r} is not a way to hold a numeric",
        hint="Use 'auto', 'text' or 'decimal(p,s)' with 1 <= p <= 38 and 0 <= s <= p; a double would round.",
    )


def _list_of(element: LocalType) -> LocalType:
    """One-dimensional arrays with lower bound 1, as lists (arrayfuncs.c: array_out).

    More dimensions print as '{{', other bounds as '[2:3]={'. An element is quoted when it is empty, reads
    NULL or has a character that means something; so without a quote every comma separates.
    """
    name = f"{element.name}[]"
    tokens = (
        "CASE WHEN {text} = '{}' THEN CAST([] AS VARCHAR[]) "
        "WHEN contains({text}, '\"') "
        'THEN regexp_extract_all({text}, \'(?s)"(?:[^"\\\\]|\\\\.)*"|[^,{}]+\') '
        "ELSE string_split({text}[2:-2], ',') END"
    )
    unquoted = (
        "CASE WHEN flashql_token = 'NULL' THEN NULL "
        "WHEN NOT starts_with(flashql_token, '\"') THEN flashql_token ELSE "
        "regexp_replace(flashql_token[2:-2], '(?s)\\\\(.)', '\\1', 'g') END"
    )
    items = f"[{unquoted} FOR flashql_token IN {tokens}]"
    values = items
    if element.reader != "{text}":
        values = f"[{element.from_text('flashql_item')} FOR flashql_item IN {items}]"
    misshapen = "(NOT starts_with({text}, '{') OR starts_with({text}, '{{'))"
    condition = f"{{text}} IS NULL OR NOT {misshapen}"
    if element.condition != "true":
        all_fit = f"NOT list_contains([{element.fits('flashql_item')} FOR flashql_item IN {items}], false)"
        condition = f"CASE WHEN {{text}} IS NULL THEN true WHEN {misshapen} THEN false ELSE {all_fit} END"
    return LocalType(name, f"CASE WHEN {misshapen} THEN {_refuse(name)} ELSE {values} END", f"({condition})")


_BOOL_OID, _NUMERIC_OID, _INET_OID, _BPCHAR_OID, _XML_OID = 16, 1700, 869, 1042, 142
_TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"
_FULL_MASK = "as the type prints itself, without a full /32 or /128"
_RANGE_NOTE = "infinities and years BC included; values after 294247-01-10 make it text"


def _as_text(names_and_oids: str) -> tuple[TypeRow, ...]:
    """Rows of types that are kept as the text they print: 'point 600, box 603'."""
    pairs = (pair.rsplit(" ", 1) for pair in names_and_oids.split(", "))
    return tuple(TypeRow(name, int(oid), (_TEXT,), "its text") for name, oid in pairs)


TYPES: tuple[TypeRow, ...] = (
    TypeRow("boolean", _BOOL_OID, (_cast("BOOLEAN"),)),
    TypeRow("smallint", 21, (_cast("SMALLINT"),)),
    TypeRow("integer", 23, (_cast("INTEGER"),)),
    TypeRow("bigint", 20, (_cast("BIGINT"),)),
    TypeRow("real", 700, (_cast("FLOAT"),), "NaN, infinities and -0 included"),
    TypeRow("double precision", 701, (_cast("DOUBLE"),), "NaN, infinities and -0 included"),
    TypeRow(
        "numeric",
        _NUMERIC_OID,
        _numeric_choice("auto"),
        "`numeric(p,s)` with p <= 38 is DECIMAL(p,s), others as the option `numeric` says, see below; NaN, "
        "infinities and what no DECIMAL holds make it text",
    ),
    TypeRow("text", 25, (_TEXT,)),
    TypeRow("character varying", 1043, (_TEXT,)),
    TypeRow("character", _BPCHAR_OID, (_TEXT,), "padded with spaces to its length, as in Postgres"),
    TypeRow("name", 19, (_TEXT,)),
    TypeRow('"char"', 18, (_TEXT,)),
    TypeRow("bytea", 17, (_bytes(),)),
    TypeRow("date", 1082, (_moment("DATE", total=True),), "infinities and years BC included"),
    TypeRow("time", 1083, (_cast("TIME"),), "24:00:00 included"),
    TypeRow("time with time zone", 1266, (_cast("TIME WITH TIME ZONE"),), "keeps its offset"),
    TypeRow("timestamp", 1114, (_moment("TIMESTAMP", total=False), _TEXT), _RANGE_NOTE),
    TypeRow("timestamp with time zone", 1184, (_moment(_TIMESTAMPTZ, total=False), _TEXT), _RANGE_NOTE),
    TypeRow("interval", 1186, (_interval(), _TEXT), "months, days and time apart; infinities make it text"),
    TypeRow("uuid", 2950, (_cast("UUID"),)),
    TypeRow("json", 114, (_checked("JSON"), _TEXT), "kept as written; text for what DuckDB's JSON refuses"),
    TypeRow("jsonb", 3802, (_checked("JSON"), _TEXT), "text for what DuckDB's JSON refuses"),
    TypeRow("oid", 26, (_cast("UINTEGER"),)),
    TypeRow("xid", 28, (_cast("UINTEGER"),)),
    TypeRow("cid", 29, (_cast("UINTEGER"),)),
    TypeRow("xid8", 5069, (_cast("UBIGINT"),)),
    TypeRow("inet", _INET_OID, (_inet(),), _FULL_MASK),
    *_as_text("cidr 650, macaddr 829, macaddr8 774, money 790, bit 1560, bit varying 1562, pg_lsn 3220"),
    *_as_text("point 600, line 628, lseg 601, box 603, path 602, polygon 604, circle 718"),
    *_as_text("tsvector 3614, tsquery 3615, xml 142, jsonpath 4072, refcursor 1790, aclitem 1033"),
    *_as_text("pg_snapshot 5038, txid_snapshot 2970, tid 27, int2vector 22, oidvector 30, pg_node_tree 194"),
    *_as_text("regproc 24, regprocedure 2202, regoper 2203, regoperator 2204, regclass 2205, regtype 2206"),
    *_as_text("regconfig 3734, regdictionary 3769, regnamespace 4089, regrole 4096, regcollation 4191"),
)

_ROWS = {row.oid: row for row in TYPES}
_BOX_OID = 603  # the one built-in type whose arrays have ';' between elements (pg_type.typdelim)
_FIRST_USER_OID = 16384  # transam.h: FirstNormalObjectId


def ladder(type: PgType, *, numeric: str = "auto") -> tuple[LocalType, ...]:  # noqa: A002
    """Ways to hold a type's values, in the order to try them; the last takes all.

    A column is held in the first rung that `fits` all its values; a single rung needs no test. `numeric` says
    how a numeric without a size that DECIMAL has is held: 'auto', 'text' or 'decimal(p,s)'; `DefinitionError`
    for another. Each rung of 'auto' gains a digit after the point and loses one before it: it may not
    take what the last one held, so choose by testing old and new values.

    >>> [rung.name for rung in ladder(PgType(1700, typmod=655366))]
    ['DECIMAL(10,2)', 'VARCHAR']
    """
    choice = _numeric_choice(numeric)
    if type.oid == _NUMERIC_OID:
        return _numeric(type.typmod, choice)
    if row := _ROWS.get(type.oid):
        return row.rungs
    if type.element is not None and _separated_by_commas(type.element):
        return (_list_of(ladder(type.element, numeric=numeric)[0]), _TEXT)
    return (_TEXT,)


def _separated_by_commas(element: PgType) -> bool:
    """Whether arrays of the type surely have ',' between elements; those of an extension's type may not."""
    if element.kind != "b" or _is_citext(element):
        return True
    return element.oid in _ROWS and element.oid != _BOX_OID


def _is_citext(type: PgType) -> bool:  # noqa: A002
    """Whether it is the extension's case-insensitive text, whose oid differs from database to database."""
    return type.oid >= _FIRST_USER_OID and type.name.rpartition(".")[2] == "citext"


def select_text(type: PgType, expr: str) -> str:  # noqa: A002
    """SQL for the origin: the text of `expr` as the stream would send it.

    That is a cast, except for types with a cast to text that is not their output function (pg_cast): boolean
    is spelled out there, character not padded, inet has a full mask, xml an encoding; extensions may differ.
    """
    of_extension = type.kind == "b" and type.oid >= _FIRST_USER_OID and type.element is None
    if of_extension or type.oid in (_BOOL_OID, _INET_OID, _BPCHAR_OID, _XML_OID):
        return f"CASE WHEN num_nulls({expr}) = 0 THEN format('%s', {expr}) END"
    return f"({expr})::text"


def markdown() -> str:
    """The page docs/reference/types.md."""
    rows = "\n".join(
        f"| `{row.name}` | {row.oid} | {'DECIMAL' if row.oid == _NUMERIC_OID else row.duckdb}"
        f"{' or VARCHAR' if len(row.rungs) > 1 else ''} | {row.note} |"
        for row in TYPES
    )
    return _PAGE.replace("{rows}", rows)


_PAGE = """\
# Types

How each Postgres type is held in a local copy. Written by `python -m flashql.datatypes`; do not edit.

A value is held exactly or its column is kept as text; nothing is rounded, clamped or made NULL. Where two
types are named, a column starts with the first and becomes the second when a value comes that needs it.

| Postgres | oid | DuckDB | notes |
|---|---|---|---|
{rows}
| array | | the element's type with `[]`, or VARCHAR | several dimensions or other bounds make it text |
| enum, composite, range, multirange | | VARCHAR | its text; views order enums as their labels are |
| `citext` and any other type | | VARCHAR | its text |
| domain | | that of the type below it | |

An array is text from the start when its elements may be separated by something other than a comma: arrays of
`box` and of an extension's types, `citext` apart. An element that does not fit makes its array text.

## The option `numeric`

| value | a `numeric` without a size that DECIMAL has is held as |
|---|---|
| `auto` | DECIMAL(38,9), or the next scale up to DECIMAL(38,37) that holds every value, or VARCHAR |
| `text` | VARCHAR, digits as Postgres prints them |
| `decimal(p,s)` | DECIMAL(p,s), or VARCHAR when a value does not fit |

Zeros at the end do not count: `1.50` fits DECIMAL(38,1). There is no `double`, because it rounds.
"""


if __name__ == "__main__":
    sys.stdout.write(markdown())
