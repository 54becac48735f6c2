"""The SQL keeps to what all engines read alike (docs/engines.md); what differs is in a macro.

Looks at the text of models, snapshots, tests and macros outside macros/portability. What it cannot
see (an alias used beside its definition, sums of flags, the division of whole numbers), PostgreSQL
refuses, or the comparison of engines shows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
PORTABILITY = PROJECT_DIR / "macros/portability"
FOLDERS = ("models", "macros", "tests/generic", "tests/singular")

# What breaks or changes its meaning on some engine, and what stands in its place.
AVOIDED = {
    r"\bqualify\b": "row_number in a step of its own, then where",
    r"\bgroup by all\b": "group by the columns",
    r"\border by all\b(?!_)": "order by the columns",
    r"\*\s*(exclude|except|replace)\b": "the columns by name",
    r"\b(ignore|respect) nulls\b": "a window over the rows that are not null",
    r"\brange (between|interval|unbounded)\b": "a frame of rows, which Redshift asks for",
    r"\bdistinct on\b": "row_number in a step of its own",
    r"\bfilter\s*\(\s*where\b": "sum(case when …)",
    r"\bunion\b(?! all\b)": "union all, and select distinct in a step of its own",
    r"\b(natural|right|semi|anti|asof|positional|lateral|cross apply)\s+join\b": "a plain join",
    r"\bjoin\b[^()]*?\busing\s*\(": "on",
    r"(?<![\w.])(arg_max|arg_min|max_by|min_by|median|mode|percentile_\w+|quantile\w*)\s*\(": (
        "row_number in a step of its own"
    ),
    r"(?<![\w.])(concat|concat_ws|string_agg|group_concat|listagg|array_agg|list|unnest)\s*\(": (
        "|| with coalesce, dbt.listagg"
    ),
    r"\bregexp_\w+\s*\(": "customer_health.matches",
    r"(?<![\w.])(any_value|bool_or|bool_and|first|last|bit_or)\s*\(": "dbt.any_value, dbt.bool_or",
    r"(?<![\w.])(date_diff|datediff|dateadd|date_add|date_sub|to_days|make_date)\s*\(": (
        "customer_health.days_between, add_days"
    ),
    r"(?<![\w.])(strftime|strptime|date_part|datepart|epoch|to_timestamp|age)\s*\(": (
        "extract(day|month|year from …), customer_health.seconds_between"
    ),
    r"\bextract\s*\(\s*(?!day\b|month\b|year\b)\w+": "customer_health.seconds_between, day_number",
    r"\binterval\b\s*('|\d)": "customer_health.add_days",
    r"(?<![\w.])(isfinite|isnan|isinf|try_cast|safe_cast)\s*\(": (
        "customer_health.is_finite, dbt.safe_cast"
    ),
    r"(?<![\w.])(ifnull|nvl|iff|decode|if)\s*\(": "coalesce, case",
    r"::": "cast",
    r"\bas\s+(double precision|double|float8|float|real|varchar|text|string)\s*\)": (
        "customer_health.type_double(), dbt.type_string()"
    ),
    r"\b(decimal|numeric)\s*\(": "customer_health.to_decimal, decimal_text",
    r"\bis (not )?distinct from\b": "customer_health.is_distinct",
    r"(?<![\w.])(current_date|current_timestamp|now\s*\(|random\s*\(|uuid\s*\()": "as_of_date()",
    r"\bilike\b": "lower(…) like",
    r"'[^'\n]*\\(?!n)[^'\n]*'": "a character class: engines read a backslash differently",
}


def sources() -> list[Path]:
    """SQL files whose text has to be read alike by all engines."""
    files = [file for folder in FOLDERS for file in sorted((PROJECT_DIR / folder).rglob("*.sql"))]
    return [file for file in files if PORTABILITY not in file.parents]


def bare(text: str) -> str:
    """The text without comments, with the same lines."""

    def blank(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n")

    text = re.sub(r"\{#.*?#\}", blank, text, flags=re.DOTALL)
    text = re.sub(r"\{%-?\s*do exceptions.*?%\}", blank, text, flags=re.DOTALL)
    return re.sub(r"(?m)--.*$", "", text)


def breaches(text: str) -> list[tuple[int, str]]:
    """Line number and remedy of everything in a text that some engine would not read alike."""
    found = []
    plain = bare(text)
    for pattern, remedy in AVOIDED.items():
        for match in re.finditer(pattern, plain, flags=re.IGNORECASE):
            line = plain.count("\n", 0, match.start()) + 1
            found.append((line, f"`{match.group().strip()}`: use {remedy}"))
    return sorted(found)


def test_sql_keeps_to_the_subset() -> None:
    found = [
        f"{file.relative_to(PROJECT_DIR)}:{line}: {what}"
        for file in sources()
        for line, what in breaches(file.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "sql",
    [
        "select a from t qualify row_number() over (order by a) = 1",
        "select a, sum(b) from t group by all",
        "select * exclude (a) from t",
        "select lag(a ignore nulls) over (order by b) from t",
        "select sum(a) over (order by b range between 1 preceding and current row) from t",
        "select sum(a) over (order by b range interval 3 day preceding) from t",
        "select distinct on (a) a from t",
        "select count(*) filter (where a) from t",
        "select a from t union select a from u",
        "select a from t union distinct select a from u",
        "select a from t left join u using (a)",
        "select median(a), arg_max(a, b) from t",
        "select concat(a, b) from t",
        "select regexp_replace(a, 'x', '') from t",
        "select any_value(a) from t",
        "select date_diff('day', a, b) from t",
        "select extract(week from a) from t",
        "select a + interval 3 day from t",
        "select try_cast(a as date) from t",
        "select a::date from t",
        "select cast(a as double) from t",
        "select cast(a as varchar) from t",
        "select cast(a as decimal(28, 12)) from t",
        "select a is distinct from b from t",
        "select current_date",
        r"select {{ matches('a', '^\d+$') }} from t",
    ],
)
def test_a_breach_is_seen(sql: str) -> None:
    assert breaches(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select a -- qualify\nfrom t",
        "{# group by all #} select a from t union all select a from u",
        "select {{ dbt.any_value('a') }}, {{ dbt.datediff('a', 'b', 'day') }} from t",
        "select sum(a) over (order by b rows between 1 preceding and current row) from t",
        "select extract(day from a), cast(a as bigint) from t order by all_bands.a",
    ],
)
def test_the_subset_is_not_a_breach(sql: str) -> None:
    assert not breaches(sql)


def test_dispatched_macros_have_a_default_or_every_engine() -> None:
    engines = ("duckdb", "postgres", "spark", "snowflake", "bigquery")
    for file in PORTABILITY.glob("*.sql"):
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"adapter\.dispatch\('(\w+)', 'customer_health'\)", text):
            made = set(re.findall(rf"macro (\w+?)__{name}\(", text))
            assert "default" in made or made >= set(engines), f"{file.name}: {name}"


def test_redshift_takes_nothing_of_postgresql_unseen() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in PORTABILITY.glob("*.sql"))
    made = set(re.findall(r"macro postgres__(\w+)\(", text))
    own = set(re.findall(r"macro redshift__(\w+)\(", text))
    assert made - own == {"add_days", "cast_zoned_text"}, "read alike by both"
