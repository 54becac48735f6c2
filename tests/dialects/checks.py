"""What can be told about SQL of an engine without the engine: it parses, and it is spelled well.

A parser takes functions and types that the engine does not have, so that both are compared with
lists of what was looked up in the manuals of the engines.
"""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

_NAME = re.compile(r"[a-z_][a-z_0-9]*", re.IGNORECASE)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words before a bracket that are no functions.
_KEYWORDS = _names(
    "and as by distinct else from group in into join not on or over select then union using values "
    "when where within with"
)

# Functions and types that all these engines have.
_COMMON_FUNCTIONS = _names(
    "abs avg cast chr coalesce count dense_rank exp extract floor greatest lag lead least length "
    "ln lower max md5 min mod nullif power rank replace round row_number sqrt substring sum trim "
    "upper"
)
_COMMON_TYPES = frozenset(["bigint", "boolean", "date", "int", "integer", "timestamp"])
_DECIMALS = frozenset(["decimal(28,1)", "decimal(28,2)", "decimal(28,10)", "decimal(28,12)"])

# What each engine has besides: manuals read in November 2026. Date functions are dbt's own.
FUNCTIONS = {
    "snowflake": _COMMON_FUNCTIONS
    | _names(
        "bitor_agg boolor_agg convert_timezone dateadd datediff get listagg regexp_like "
        "regexp_replace split_part try_cast try_parse_json try_to_timestamp_tz"
    ),
    "bigquery": _COMMON_FUNCTIONS
    | _names(
        "bit_or datetime_add datetime_diff format json_value logical_or regexp_contains "
        "regexp_replace safe_cast safe_offset split string_agg timestamp timestamp_diff to_hex"
    ),
    "databricks": _COMMON_FUNCTIONS
    | _names(
        "aggregate array array_join array_sort bit_or bool_or collect_list concat date_trunc "
        "element_at explode get get_json_object if regexp_extract regexp_replace size split "
        "split_part timestamp_seconds timestampadd timestampdiff to_utc_timestamp try_cast "
        "unix_micros"
    ),
    "redshift": _COMMON_FUNCTIONS
    | _names("bit_or bool_or dateadd datediff json_extract_path_text listagg split_part"),
    "postgres": _COMMON_FUNCTIONS
    | _names("bit_or bool_or isfinite date_part date_trunc split_part string_agg to_timestamp"),
    "spark": _COMMON_FUNCTIONS
    | _names(
        "add_months aggregate array array_join array_sort assert_true bit_or bool_or ceil "
        "collect_list concat date date_add date_trunc datediff dayofmonth element_at explode if "
        "get_json_object months_between nvl2 regexp_extract regexp_replace size sort_array split "
        "struct timestamp_seconds to_timestamp to_unix_timestamp to_utc_timestamp transform "
        "unix_micros"
    ),
}
TYPES = {
    "snowflake": _COMMON_TYPES
    | _DECIMALS
    | {"double precision", "text", "timestamp_ntz", "varchar"},
    "bigquery": _COMMON_TYPES | {"bignumeric", "bool", "datetime", "float64", "int64", "string"},
    "databricks": _COMMON_TYPES
    | _DECIMALS
    | {"array < bigint >", "double", "double precision", "string", "text"},
    "redshift": _COMMON_TYPES | _DECIMALS | {"double precision", "text", "timestamptz"},
    "postgres": _COMMON_TYPES
    | _DECIMALS
    | {"double precision", "jsonb", "text", "timestamp without time zone", "timestamptz"},
    "spark": _COMMON_TYPES | _DECIMALS | {"array < bigint >", "double", "string"},
}


def problems(sql: str, dialect: str) -> list[str]:
    """What is wrong with statements of an engine, one line each; empty where nothing was found.

    Args:
        sql: one or more statements.
        dialect: an engine of FUNCTIONS.
    """
    try:
        trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except SqlglotError as error:
        return ["does not parse: " + str(error).splitlines()[0]]
    found = [
        f"function {name} is not known in {dialect}"
        for name in sorted(_functions(sql, dialect) - FUNCTIONS[dialect])
    ]
    found += [
        f"type {name} is not known in {dialect}"
        for name in sorted(_types(sql, dialect) - TYPES[dialect])
    ]
    for tree in trees:
        found += _windows_without_rows(tree, dialect)
    return found


def _tokens(sql: str, dialect: str) -> list[Token]:
    return Dialect.get_or_raise(dialect).tokenize(sql)


def _functions(sql: str, dialect: str) -> set[str]:
    """Names before an opening bracket, lower case, without keywords and names of CTEs."""
    tokens = _tokens(sql, dialect)
    names = set()
    for before, name, bracket in zip([None, *tokens], tokens, tokens[1:], strict=False):
        is_alias = before is not None and before.text.lower() in ("as", "table", "into")
        if bracket.token_type == TokenType.L_PAREN and not is_alias and _is_word(name):
            names.add(name.text.lower())
    return names - _KEYWORDS - _type_words(names)


def _type_words(names: set[str]) -> set[str]:
    """Types with a length look like functions; _types judges them."""
    return names & {"decimal", "numeric", "varchar", "check"}


def _is_word(token: Token) -> bool:
    return token.token_type != TokenType.STRING and _NAME.fullmatch(token.text) is not None


def _types(sql: str, dialect: str) -> set[str]:
    """Types as they are written in casts and in the columns of a `create table`, lower case."""
    tokens = _tokens(sql, dialect)
    names = set()
    open_casts: list[tuple[int, int | None]] = []  # depth of the brackets, place after `as`
    depth = 0
    for place, token in enumerate(tokens):
        if token.token_type == TokenType.L_PAREN:
            depth += 1
            if place and tokens[place - 1].text.lower() in ("cast", "try_cast", "safe_cast"):
                open_casts.append((depth, None))
        elif token.token_type == TokenType.R_PAREN:
            if open_casts and open_casts[-1][0] == depth:
                first = open_casts.pop()[1]
                if first is not None:
                    names.add(_written(tokens[first:place]))
            depth -= 1
        elif open_casts and open_casts[-1][0] == depth and token.text.lower() == "as":
            open_casts[-1] = (depth, place + 1)
    table = re.match(r"create table \w+ \((.*)\)$", sql.strip(), re.DOTALL)
    if table:
        names |= {_column_type(line) for line in re.split(r",\s*(?![^(]*\))", table.group(1))}
    return names - {""}


def _column_type(line: str) -> str:
    """The type in a line of a `create table`; empty for a constraint of the whole table."""
    words = line.strip().split(" ", 1)
    if words[0].lower() in ("primary", "check", "constraint", "unique", "foreign"):
        return ""
    return re.split(r"\s+(?:not null|check|primary key|unique)\b", words[1])[0].strip().lower()


def _written(tokens: list[Token]) -> str:
    text = " ".join(token.text.lower() for token in tokens)
    return re.sub(r"\s*([(),])\s*", r"\1", text)


def _windows_without_rows(tree: Any, dialect: str) -> list[str]:
    """Ordered aggregates need a frame, since engines default to different ones; on Redshift one of
    rows."""
    found = []
    ranked = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead)
    for window in tree.find_all(exp.Window):
        if window.args.get("order") is None or isinstance(window.this, ranked):
            continue
        frame = window.args.get("spec")
        kind = None if frame is None else str(frame.args.get("kind")).lower()
        if kind != "rows" and (kind != "range" or dialect == "redshift"):
            found.append(f"a window without a frame of rows: {window.sql()[:100]}")
    return found
