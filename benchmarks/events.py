"""Raw data of any size for the benchmarks: product events made by DuckDB, the rest by the demo.

    python benchmarks/events.py --home /tmp/bench --events 10000000
    python benchmarks/events.py --home /tmp/bench --events 10000000 --events-per-day 1

Writes every raw table of the input contract below HOME/raw as Parquet, and HOME/landing.duckdb over
them, so that `customer-health --home HOME run --as-of 2026-06-30` scores them. Events come as one
file a month, in order of time within a few minutes, as loaders leave them. The events and the files
of one more day lie apart, in HOME/next_day, until `add_next_day` (option --add-next-day) moves them
beside the others.

The shape: 300,000 users of 10,000 accounts over 365 days, in sessions of about 20 events per user
and active day (the worst case: one). Users are skewed over the accounts (the largest one has 20% of
them, the next tenth of the accounts about 37%), and so is how often they come and what they do.
One event in 10,000 is delivered twice. The same arguments give the same rows.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np

from customer_health.demo import usage
from customer_health.demo.columns import Clock
from customer_health.demo.files import RawFiles, create_landing
from customer_health.demo.generator import raw_records
from customer_health.demo.schema import TABLES
from customer_health.demo.usage import EVENT_NAMES
from customer_health.demo.world import build_world

END_DATE = date(2026, 6, 30)  # the first date that sees all days but the next one
ACCOUNTS = 10_000
USERS = 300_000
DAYS = 365
EVENTS_PER_DAY = 20
LARGEST_SHARE = 0.2  # of the users, in one account
MOST_PER_SESSION = 400
DOUBLED = 10_000  # one event in so many is delivered twice, as a row more in its session

_WORKDAY, _WEEKEND = 1.2, 0.25
_EVENTS_PER_SEAT = 230.0  # what the demo gives a seat in a year; only the licences depend on it


@dataclass(frozen=True)
class Shape:
    """What is asked for.

    Attributes:
        events: wanted number of product events in `days` days; met within a few percent.
        accounts: customers, former customers and trials.
        users: product users.
        days: length of the history in days, the next day not counted.
        events_per_day: mean number of events per user and active day; 1 means exactly one.
        end_date: as_of date that sees all of it; the next day is this one.
        seed: another seed, other rows.
    """

    events: int
    accounts: int = ACCOUNTS
    users: int = USERS
    days: int = DAYS
    events_per_day: int = EVENTS_PER_DAY
    end_date: date = END_DATE
    seed: int = 1

    @property
    def first_date(self) -> date:
        """First day with events."""
        return self.end_date - timedelta(days=self.days)


@dataclass(frozen=True)
class Made:
    """What was written: rows of the events, of the next day's, and the seconds for them."""

    events: int
    next_day_events: int
    seconds: float


def main() -> int:
    """Write the files; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="folder of the raw data")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--events-per-day", type=int, default=EVENTS_PER_DAY)
    parser.add_argument("--add-next-day", action="store_true", help="only add the files of it")
    options = parser.parse_args()
    if options.add_next_day:
        add_next_day(options.home)
        return 0
    shape = Shape(
        events=options.events,
        accounts=options.accounts,
        users=options.users,
        days=options.days,
        events_per_day=options.events_per_day,
    )
    made = make_home(options.home, shape)
    print(f"{made.events:,} events, {made.next_day_events:,} more on {shape.end_date}")
    print(f"{made.seconds:.1f} s")
    return 0


def make_home(home: Path, shape: Shape) -> Made:
    """Write all raw tables below `home/raw`, the next day's events apart, and the landing file."""
    started = time.perf_counter()
    home.mkdir(parents=True, exist_ok=True)
    write_records(home / "raw", shape)
    events, next_day = write_events(home / "raw", home / "next_day", shape)
    create_landing(home)
    return Made(events, next_day, time.perf_counter() - started)


def write_records(raw: Path, shape: Shape) -> None:
    """Write every raw table but the events below `raw`, as the demo makes them, until the next day.

    The licences of the accounts are sized for the users.
    """
    clock = Clock.ending(shape.end_date + timedelta(days=1), shape.days + 1)
    seats = int(shape.users * _EVENTS_PER_SEAT * shape.days / DAYS)
    world = build_world(clock, shape.seed, shape.accounts, seats)
    users = usage.make_users(world)
    with RawFiles(raw) as files:
        for name, table in raw_records(world, users):
            files.write(name, table)
        for name in ("product_events", "product_usage_daily"):
            files.write(name, TABLES[name].empty_table())


def write_events(raw: Path, next_day: Path, shape: Shape) -> tuple[int, int]:
    """Write users and events over the accounts that lie below `raw`, with DuckDB alone.

    Args:
        raw: folder with crm_accounts; its product_users and product_events are replaced.
        next_day: folder that gets the events of the day after the history.
        shape: what is asked for.

    Returns:
        The rows of the events, and of those of the next day.
    """
    for folder in (raw / "product_users", raw / "product_events", next_day):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '3GB'")
        connection.execute(f"set temp_directory = '{next_day}/tmp'")
        connection.execute("set TimeZone = 'UTC'")
        _make_users(connection, raw, shape)
        scale = _activity_scale(connection, shape)
        rows = 0
        for first, until in _months(shape):
            file = raw / "product_events" / f"part-{first:%Y-%m-%d}.parquet"
            rows += _write_days(connection, file, first, until, scale, shape)
        after = shape.end_date + timedelta(days=1)
        file = next_day / f"part-{shape.end_date:%Y-%m-%d}.parquet"
        return rows, _write_days(connection, file, shape.end_date, after, scale, shape)


def add_next_day(home: Path) -> None:
    """Move the events of the next day to the others; the landing file shows them from then on."""
    for file in (home / "next_day").glob("*.parquet"):
        file.rename(home / "raw" / "product_events" / file.name)


def _make_users(connection: duckdb.DuckDBPyConnection, raw: Path, shape: Shape) -> None:
    """Make the table `users`, and the raw table of it.

    The largest of the accounts that lasted from before the history to its end has LARGEST_SHARE of
    the users; over the others, largest licence first, the rank grows with the cube of the place.
    """
    end = shape.end_date + timedelta(days=1)
    connection.execute(
        f"""
        create table account_ranks as
        with accounts as (
            select
                account_id,
                created_at,
                least(coalesce(churned_at, timestamp '{end}'), timestamp '{end}') as ended_at,
                coalesce(seats_licensed, 0) as seats,
                churned_at is null and created_at < timestamp '{shape.first_date}'
                and trial_ends_at is null and not is_deleted
                and merged_into_account_id is null as is_lasting
            from read_parquet('{raw}/crm_accounts/*.parquet')
            qualify row_number() over (partition by account_id order by updated_at desc) = 1
        )
        select
            account_id,
            created_at,
            ended_at,
            row_number() over (order by is_lasting desc, seats desc, account_id) - 1 as rank
        from accounts
        where created_at < ended_at
        """
    )
    connection.execute(
        f"""
        create table users as
        with numbers as (
            select
                number,
                (number + 0.5) / {shape.users} as place,
                (select count(*) from account_ranks) as accounts
            from range({shape.users}) as numbers(number)
        ),
        placed as (
            select
                number,
                case when place < {LARGEST_SHARE} then 0 else 1 + cast(floor(
                    (accounts - 1)
                    * power((place - {LARGEST_SHARE}) / (1 - {LARGEST_SHARE}), 3)
                ) as bigint) end as rank
            from numbers
        ),
        joined as (
            select
                placed.number,
                account_ranks.account_id,
                account_ranks.created_at as account_created_at,
                account_ranks.ended_at,
                greatest(
                    date_diff('day', timestamp '{shape.first_date}', account_ranks.created_at) + 1,
                    -400
                ) as account_from,
                case when {_uniform("placed.number", 5, shape)} < 0.5 then 0
                else least(150, cast(floor(
                    -25 * ln({_uniform("placed.number", 6, shape)})
                ) as integer)) end as wait,
                -ln({_uniform("placed.number", 7, shape)}) + 0.02 as energy
            from placed
            inner join account_ranks on placed.rank = account_ranks.rank
        )
        select
            number,
            account_id,
            'U' || lpad(cast(number as varchar), 7, '0') as user_id,
            energy,
            account_from + wait as first_day,
            date_diff('day', timestamp '{shape.first_date}', ended_at) as until_day,
            account_from + wait < 0 as is_old
        from joined
        """
    )
    first = f"timestamp '{shape.first_date}'"
    connection.execute(
        f"""
        copy (
            select
                user_id,
                account_id,
                case when number % 20 = 0 then 'admin' when number % 2 = 0 then 'editor'
                else 'viewer' end as role,
                {first} + to_days(cast(first_day as integer)) as created_at,
                cast(null as timestamp) as deactivated_at,
                {first} + to_days(cast(first_day as integer)) + interval 1 hour as loaded_at
            from users
            where first_day <= {shape.days}
            order by user_id
        ) to '{raw}/product_users/part-00000.parquet' (format parquet)
        """
    )


def _activity_scale(connection: duckdb.DuckDBPyConnection, shape: Shape) -> float:
    """Solve for the level at which the users have as many active days as the events need.

    Raises:
        ValueError: where even all users on all days would have fewer events than asked for.
    """
    columns = connection.execute("select energy, first_day, until_day from users").fetchnumpy()
    workdays = np.concatenate(
        [[0], np.cumsum([_is_workday(shape, day) for day in range(_n(shape))])]
    )
    low = np.clip(columns["first_day"], 0, shape.days).astype(np.int64)
    high = np.maximum(np.clip(columns["until_day"], 0, shape.days).astype(np.int64), low)
    busy = (workdays[high] - workdays[low]).astype(np.float64)
    idle = (high - low) - busy
    wanted = shape.events / _mean_events(shape)
    if wanted > 0.97 * (busy + idle).sum():
        raise ValueError(f"{shape.users} users in {shape.days} days cannot have {shape.events}")
    energy = np.asarray(columns["energy"], dtype=np.float64)
    small, large = 1e-9, 1e9
    for _ in range(200):
        middle = float(np.sqrt(small * large))
        active = busy * -np.expm1(-_WORKDAY * middle * energy)
        active += idle * -np.expm1(-_WEEKEND * middle * energy)
        if active.sum() < wanted:
            small = middle
        else:
            large = middle
    return large


def _n(shape: Shape) -> int:
    """Days that can hold events, the next one included."""
    return shape.days + 1


def _drawn(key: str, stream: int, shape: Shape) -> str:
    """SQL of 64 random bits for a whole number; streams and seeds are independent of each other."""
    return f"hash(({key}) * 1024 + {stream + 16 * (shape.seed % 64)})"


def _uniform(key: str, stream: int, shape: Shape) -> str:
    """SQL of a random number in (0, 1) for a whole number."""
    return f"((cast({_drawn(key, stream, shape)} >> 12 as double) + 0.5) * {0.5**52!r})"


def _is_workday(shape: Shape, day: int) -> bool:
    """Whether a day of the history is a Monday to Friday."""
    return (shape.first_date + timedelta(days=day)).weekday() < 5


def _mean_events(shape: Shape) -> float:
    """Mean number of events of a session as _write_days draws it."""
    if shape.events_per_day <= 1:
        return 1.0
    step = 1 / (shape.events_per_day - 0.5)
    # 1 + floor(exponential / step): a geometric number, cut at MOST_PER_SESSION
    return 1.0 + (1 - np.exp(-step * (MOST_PER_SESSION - 1))) / np.expm1(step)


def _months(shape: Shape) -> list[tuple[date, date]]:
    """Cut the history at the months: first day and day after the last one of each part."""
    parts = []
    first = shape.first_date
    while first < shape.end_date:
        until = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        parts.append((first, min(until, shape.end_date)))
        first = until
    return parts


def _write_days(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    first: date,
    until: date,
    scale: float,
    shape: Shape,
) -> int:
    """Write the events of the days from `first` to before `until`; return the number of rows.

    Sessions are put in order of time before they are spread into events, which costs a twentieth of
    sorting the events.
    """
    low, high = ((day - shape.first_date).days for day in (first, until))
    names = ", ".join(f"'{name}'" for name in EVENT_NAMES)
    mean = max(shape.events_per_day - 0.5, 1e-9)
    session = f"users.number * {_n(shape)} + days.day"
    size = "1"
    if shape.events_per_day > 1:
        size = (
            f"least({MOST_PER_SESSION}, 1 + cast(floor(-{mean} * ln("
            f"{_uniform(session, 3, shape)})) as integer))"
        )
    doubled_sessions = max(1, DOUBLED // shape.events_per_day)
    is_doubled = f"{_drawn('session_number', 4, shape)} % {doubled_sessions} = 0"
    query = f"""
        with days as (
            select
                day,
                timestamp '{shape.first_date}' + to_days(day) as day_start,
                case when isodow(timestamp '{shape.first_date}' + to_days(day)) < 6
                then {_WORKDAY * scale:.17e} else {_WEEKEND * scale:.17e} end as level
            from (select cast(range as integer) as day from range({low}, {high}))
        ),
        user_days as (
            select
                number,
                user_id,
                account_id,
                energy,
                unnest(range(
                    greatest(first_day, {low}), least(until_day, {high})
                )) as day
            from users
        ),
        sessions as (
            select
                users.user_id,
                users.account_id,
                {session} as session_number,
                days.day_start + to_seconds(cast(
                    21600 + {_drawn(session, 2, shape)} % 43200 as integer
                )) as started_at,
                {size} as size
            from user_days as users
            inner join days on users.day = days.day
            where {_uniform(session, 1, shape)} < 1 - exp(-days.level * users.energy)
            order by started_at, session_number
        ),
        spread as (
            select
                account_id,
                user_id,
                started_at,
                session_number,
                least(
                    unnest(range(size + case when {is_doubled} then 1 else 0 end)), size - 1
                ) as place
            from sessions
        ),
        numbered as (
            select
                account_id,
                user_id,
                started_at,
                place,
                session_number * {MOST_PER_SESSION + 1} + place as event_number
            from spread
        ),
        drawn as (
            select *, {_drawn("event_number", 8, shape)} as draw
            from numbered
        )
        select
            'E' || lpad(cast(event_number as varchar), 11, '0') as event_id,
            account_id,
            user_id,
            case when place = 0 then 'login' else ([{names}])[
                2 + cast(floor({len(EVENT_NAMES) - 1} * power((draw >> 32) / 4294967296.0, 2))
                as integer)
            ] end as event_name,
            started_at + to_seconds(cast(place * 45 + (draw >> 8) % 40 as integer)) as occurred_at,
            case when place > 0 then cast((draw >> 16) % 120 as double) end as duration_seconds,
            date_trunc('hour', started_at) + interval 7 hour as loaded_at
        from drawn
    """
    rows = connection.execute(
        f"copy ({query}) to '{file}' (format parquet, compression snappy, row_group_size 122880)"
    ).fetchone()
    assert rows is not None
    return int(rows[0])


if __name__ == "__main__":
    sys.exit(main())
