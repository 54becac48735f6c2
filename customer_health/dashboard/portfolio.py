"""The portfolio: who is where, how it has moved, and who needs attention today."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from customer_health.dashboard import html
from customer_health.dashboard.bands import Band, unknown_band
from customer_health.dashboard.html import Column
from customer_health.validation.report import money, share
from customer_health.warehouses import Reader

DIMENSIONS = {
    "segment": "Segment",
    "csm_id": "CSM",
    "plan": "Plan",
    "lifecycle_stage": "Lifecycle",
    "region": "Region",
}
NONE = "(none)"
PAGE_ROWS = 10
MIGRATION_DAYS = (7, 28, 91)
# Dimensions that bi_health__portfolio_daily holds, so that no scores have to be read.
_KEPT_DIMENSIONS = ("segment", "csm_id", "plan")


@dataclass(frozen=True)
class Filters:
    """Values of dimensions that are shown; a dimension that is not named shows all.

    Attributes:
        values: dimension (of DIMENSIONS) to its values; `(none)` means empty.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Equal for equal filters."""
        return tuple((name, self.values[name]) for name in DIMENSIONS if self.values.get(name))

    def where(self, table: str) -> tuple[str, list[str]]:
        """A condition on a table that has the dimensions, and the values that it is bound to."""
        conditions: list[str] = []
        bound: list[str] = []
        for dimension, values in self.key:
            marks = ", ".join("?" for _ in values)
            conditions.append(f"coalesce({table}.{dimension}, '{NONE}') in ({marks})")
            bound.extend(values)
        return " and ".join(conditions) or "1 = 1", bound


def read_choices(reader: Reader) -> dict[str, list[str]]:
    """The values of each dimension among the accounts of today."""
    return {
        dimension: [
            row[0]
            for row in reader.rows(
                f"""
                select distinct coalesce({dimension}, '{NONE}') as choice
                from {{marts}}.bi_health__account_360_current
                order by choice
                """
            )
        ]
        for dimension in DIMENSIONS
    }


def read_history(reader: Reader, filters: Filters) -> list[dict[str, Any]]:
    """Per date and band: account_count, arr_amount, scored_account_count, score_sum.

    Without a filter, or with one of a dimension that bi_health__portfolio_daily holds, the rows of
    that mart are enough; else the scores of all dates are counted.
    """
    chosen = filters.key
    if not chosen:
        return _kept_history(reader, "all", ("all",))
    if len(chosen) == 1 and chosen[0][0] in _KEPT_DIMENSIONS:
        return _kept_history(reader, *chosen[0])
    where, values = filters.where("account_scores")
    return reader.records(
        f"""
        select
            as_of_date,
            band,
            count(*) as account_count,
            coalesce(sum(arr_amount), 0) as arr_amount,
            count(health_score_exact) as scored_account_count,
            coalesce(sum(health_score_exact), 0) as score_sum
        from {{marts}}.fct_health__account_scores as account_scores
        where {where}
        group by as_of_date, band
        order by as_of_date, band
        """,
        values,
    )


def _kept_history(reader: Reader, dimension: str, values: Sequence[str]) -> list[dict[str, Any]]:
    """The history from the mart of the portfolio."""
    marks = ", ".join("?" for _ in values)
    return reader.records(
        f"""
        select
            as_of_date,
            band,
            cast(sum(account_count) as bigint) as account_count,
            sum(arr_amount) as arr_amount,
            cast(sum(scored_account_count) as bigint) as scored_account_count,
            coalesce(sum(mean_health_score * scored_account_count), 0) as score_sum
        from {{marts}}.bi_health__portfolio_daily
        where dimension = ? and dimension_value in ({marks}) and band <> 'all'
        group by as_of_date, band
        order by as_of_date, band
        """,
        [dimension, *values],
    )


def means_over_time(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean score per date, from the rows of `read_history`; None where nobody has one."""
    totals: dict[date, list[float]] = {}
    for row in history:
        total = totals.setdefault(row["as_of_date"], [0.0, 0.0])
        total[0] += row["score_sum"]
        total[1] += row["scored_account_count"]
    return [
        {"as_of_date": day, "mean_score": score / count if count else None}
        for day, (score, count) in totals.items()
    ]


def nearest_before(history: Sequence[Mapping[str, Any]], day: date, days: int) -> date | None:
    """The latest date of the history that is at least so many days before a day."""
    wanted = day - timedelta(days=days)
    return max((row["as_of_date"] for row in history if row["as_of_date"] <= wanted), default=None)


def read_migrations(reader: Reader, filters: Filters, before: date) -> list[dict[str, Any]]:
    """Accounts and ARR of today by band before and band now.

    Args:
        reader: of the readers' copy.
        filters: of today's accounts.
        before: an earlier date of the scores.

    Returns:
        earlier_band (None: no customer yet), band, account_count, arr_amount.
    """
    where, values = filters.where("today")
    return reader.records(
        f"""
        with

        earlier as (
            select
                account_id,
                band
            from {{marts}}.fct_health__account_scores
            where as_of_date = ?
        )

        select
            earlier.band as earlier_band,
            today.band,
            count(*) as account_count,
            coalesce(sum(today.arr_amount), 0) as arr_amount
        from {{marts}}.fct_health__account_scores_current as today
        left join earlier
            on today.account_id = earlier.account_id
        where {where}
        group by earlier.band, today.band
        order by earlier.band, today.band
        """,
        [before, *values],
    )


# Who needs attention.
_ATTENTION = """
    from {marts}.bi_health__account_360_current as accounts
    left join {marts}.sync_health__crm_accounts as crm_accounts
        on accounts.account_id = crm_accounts.account_id
    where
        not accounts.is_frozen
        and accounts.band is not null
        and accounts.traffic_light in ('red', 'yellow')
"""


def read_attention(
    reader: Reader, filters: Filters, page: int = 1, rows: int = PAGE_ROWS
) -> list[dict[str, Any]]:
    """A page of the accounts with a red or yellow light, those with most ARR at risk first.

    ARR at risk is ARR times the probability of churn within 90 days; where that is not known, the
    accounts follow by ARR.
    """
    where, values = filters.where("accounts")
    return reader.records(
        f"""
        select
            accounts.account_id,
            accounts.account_name,
            accounts.csm_id,
            accounts.segment,
            accounts.band,
            accounts.health_score,
            accounts.health_score_change_28_days,
            accounts.arr_amount,
            accounts.arr_amount * accounts.churn_probability as arr_at_risk_amount,
            accounts.renewal_date,
            accounts.days_to_renewal,
            accounts.top_negative_driver,
            accounts.has_data_incident,
            crm_accounts.next_action,
            crm_accounts.next_action_due_date
        {_ATTENTION} and {where}
        order by
            arr_at_risk_amount desc nulls last,
            accounts.arr_amount desc nulls last,
            accounts.account_id
        limit {int(rows)} offset {(int(page) - 1) * int(rows)}
        """,
        values,
    )


def count_attention(reader: Reader, filters: Filters) -> tuple[int, float]:
    """Accounts of `read_attention`, all pages, and their ARR."""
    where, values = filters.where("accounts")
    count, arr = reader.rows(
        f"select count(*), coalesce(sum(accounts.arr_amount), 0) {_ATTENTION} and {where}", values
    )[0]
    return int(count), float(arr)


def read_base_trend(reader: Reader) -> dict[str, Any] | None:
    """The trend of the whole base, of val_health__base_trend; None where it has none."""
    rows = reader.records("select * from {marts}.val_health__base_trend limit 1")
    return rows[0] if rows else None


def read_currency(reader: Reader) -> str:
    """The reporting currency."""
    rows = reader.rows("select min(currency_code) from {marts}.bi_health__account_360")
    return str(rows[0][0] or "") if rows else ""


# -- from rows to figures ------------------------------------------------------------------------
@dataclass(frozen=True)
class BandNow:
    """A band today; shares 0-1 of all accounts and of all ARR, the change in accounts."""

    band: Band
    accounts: int
    accounts_share: float
    accounts_change: int | None
    arr: float
    arr_share: float | None


@dataclass(frozen=True)
class Migrations:
    """Accounts by band before and today.

    Attributes:
        columns: bands of today.
        rows: band before (None: no score then) and the accounts per column.
        up: accounts in a better band.
        down: accounts in a worse one.
        down_arr: their ARR.
    """

    columns: list[Band]
    rows: list[tuple[Band | None, list[int]]]
    up: int
    down: int
    down_arr: float


def of_date(history: Sequence[Mapping[str, Any]], day: date | None) -> dict[str, Mapping[str, Any]]:
    """The rows of `read_history` of one date, by band."""
    return {row["band"]: row for row in history if row["as_of_date"] == day}


def bands_now(
    history: Sequence[Mapping[str, Any]],
    bands: Mapping[str, Band],
    today: date,
    before: date | None,
) -> list[BandNow]:
    """The bands of today, the best first, compared with an earlier date (None: with nothing)."""
    now, earlier = of_date(history, today), of_date(history, before)
    accounts = sum(row["account_count"] for row in now.values())
    arr = sum(row["arr_amount"] for row in now.values())
    ranked = sorted(bands.values(), key=lambda band: -(band.rank or 0))
    found = []
    for band in ranked:
        row, then = now.get(band.key), earlier.get(band.key)
        if row is None and then is None:
            continue
        count = row["account_count"] if row else 0
        amount = row["arr_amount"] if row else 0.0
        found.append(
            BandNow(
                band=band,
                accounts=count,
                accounts_share=count / accounts if accounts else 0.0,
                accounts_change=count - (then["account_count"] if then else 0) if before else None,
                arr=amount,
                arr_share=amount / arr if arr else None,
            )
        )
    return found


def headline(
    history: Sequence[Mapping[str, Any]], bands: Mapping[str, Band], today: date
) -> list[tuple[str, Any, Any]]:
    """The figures on top: what, the figure, a remark."""
    now = of_date(history, today)
    accounts = sum(row["account_count"] for row in now.values())
    scored = sum(row["scored_account_count"] for row in now.values())
    arr = sum(row["arr_amount"] for row in now.values())
    worried = [row for key, row in now.items() if key in bands and bands[key].needs_attention]
    worried_arr = sum(row["arr_amount"] for row in worried)
    means = {row["as_of_date"]: row["mean_score"] for row in means_over_time(history)}
    mean = means.get(today)
    before = nearest_before(history, today, 28)
    then = means.get(before) if before else None
    return [
        ("Accounts", f"{accounts:,}", f"{scored:,} with a score"),
        ("ARR", money(arr), None),
        (
            "Mean score",
            None if mean is None else f"{mean:.1f}",
            None if mean is None or then is None else f"{mean - then:+.1f} since {before}",
        ),
        (
            "Red or yellow",
            f"{sum(row['account_count'] for row in worried):,}",
            f"{share(sum(row['account_count'] for row in worried) / accounts)} of the accounts",
        ),
        (
            "Their ARR",
            money(worried_arr),
            f"{share(worried_arr / arr)} of the ARR" if arr else None,
        ),
    ]


def migration_table(rows: Sequence[Mapping[str, Any]], bands: Mapping[str, Band]) -> Migrations:
    """The rows of `read_migrations` as a table, the best band first."""
    ranked = sorted(bands.values(), key=lambda band: -(band.rank or 0))
    counts = {(row["earlier_band"], row["band"]): row for row in rows}
    columns = [band for band in ranked if any(key[1] == band.key for key in counts)]
    before: list[Band | None] = [
        band for band in ranked if any(key[0] == band.key for key in counts)
    ]
    if any(key[0] is None for key in counts):
        before.append(None)

    def number(earlier: Band | None, now: Band) -> int:
        row = counts.get((earlier.key if earlier else None, now.key))
        return int(row["account_count"]) if row else 0

    up, down, down_arr = 0, 0, 0.0
    for row in rows:
        earlier, now = bands.get(row["earlier_band"] or ""), bands.get(row["band"])
        if earlier is None or now is None or earlier.rank is None or now.rank is None:
            continue
        up += row["account_count"] if now.rank > earlier.rank else 0
        down += row["account_count"] if now.rank < earlier.rank else 0
        down_arr += row["arr_amount"] if now.rank < earlier.rank else 0.0
    return Migrations(
        columns=columns,
        rows=[(band, [number(band, now) for now in columns]) for band in before],
        up=up,
        down=down,
        down_arr=down_arr,
    )


def renewal_in_words(days: int | None) -> str | None:
    """Days to a renewal: `in 12 days`, `today`, `3 days ago`."""
    if days is None:
        return None
    if days == 0:
        return "today"
    unit = "day" if abs(days) == 1 else "days"
    return f"in {days:,} {unit}" if days > 0 else f"{-days:,} {unit} ago"


def trend_in_words(trend: Mapping[str, Any]) -> str:
    """The row of val_health__base_trend as a sentence."""
    first, last = trend["first_mean_score"], trend["last_mean_score"]
    words = (
        f"Mean of all accounts {first:.1f} on {trend['from_date']}, {last:.1f} on "
        f"{trend['to_date']}"
    )
    slope, low, high = trend["points_per_90_days"], trend["low"], trend["high"]
    if slope is None:
        return f"{words}; one month tells no trend."
    if low is None or high is None:
        return f"{words}: {slope:+.1f} points in 90 days; too few months for an interval."
    verdict = (
        "the base gets healthier" if low > 0
        else "the base gets less healthy" if high < 0
        else "no trend that can be told from chance"
    )  # fmt: skip
    return f"{words}: {slope:+.1f} points in 90 days ({low:+.1f} to {high:+.1f}): {verdict}."


# -- tables of app and report --------------------------------------------------------------------
Table = tuple[tuple[Column, ...], list[list[Any]]]


def attention_table(
    rows: Sequence[Mapping[str, Any]],
    bands: Mapping[str, Band],
    currency: str,
    as_account: Callable[[str, str | None], Markup] = html.account_link,
) -> Table:
    """The rows of `read_attention`.

    Args:
        rows: of a page.
        bands: of `read_bands`.
        currency: of the amounts.
        as_account: what stands for an account, made of its id and name.
    """
    columns = (
        Column("Account"),
        Column("Band"),
        Column("Score", is_number=True),
        Column("28 days", is_number=True),
        Column(f"ARR {currency}", is_number=True),
        Column("At risk", is_number=True),
        Column("Renewal", is_number=True),
        Column("CSM"),
        Column("What pulled it down", is_text=True),
        Column("Next action", is_text=True),
    )
    found: list[list[Any]] = []
    for row in rows:
        due = row["next_action_due_date"]
        found.append(
            [
                as_account(row["account_id"], row["account_name"]),
                html.badge(bands.get(row["band"] or "") or unknown_band(row["band"])),
                row["health_score"],
                html.signed(row["health_score_change_28_days"]),
                money(row["arr_amount"]),
                money(row["arr_at_risk_amount"]),
                renewal_in_words(row["days_to_renewal"]),
                html.name(row["csm_id"] or "no CSM", 24),
                row["top_negative_driver"],
                html.short(row["next_action"], f"by {due}" if due else ""),
            ]
        )
    return columns, found


def bands_table(rows: Sequence[BandNow], before: date | None, currency: str) -> Table:
    """The bands of `bands_now`, compared with an earlier date."""
    columns = (
        Column("Band"),
        Column("Accounts", is_number=True),
        Column("Share", is_number=True),
        Column(f"Since {before}" if before else "Change", is_number=True),
        Column(f"ARR {currency}", is_number=True),
        Column("Share", is_number=True),
    )
    return columns, [
        [
            html.badge(row.band),
            f"{row.accounts:,}",
            share(row.accounts_share),
            html.signed(row.accounts_change),
            money(row.arr),
            share(row.arr_share),
        ]
        for row in rows
    ]


def moves_table(moves: Migrations, before: date) -> Table:
    """Accounts by band on an earlier date (down) and today (across)."""
    columns = (
        Column("From"),
        *(Column(f"→ {band.label}", is_number=True) for band in moves.columns),
    )
    return columns, [
        [
            html.badge(band) if band else f"new since {before}",
            *(html.cell(f"{count:,}" if count else "·") for count in counts),
        ]
        for band, counts in moves.rows
    ]


def moves_in_words(moves: Migrations, before: date, currency: str) -> str:
    """How many moved up and down since a date."""
    return (
        f"Rows: band on {before}; columns: band today. {moves.up:,} accounts moved up, "
        f"{moves.down:,} down ({money(moves.down_arr)} {currency} ARR)."
    )


def attention_in_words(count: int, arr: float, currency: str) -> str:
    """How many accounts of `count_attention` there are, and what comes first."""
    return (
        f"{count:,} accounts with a red or yellow light, {money(arr)} {currency} ARR; those "
        "with most ARR at risk first (ARR times the probability of churn within 90 days)."
    )
