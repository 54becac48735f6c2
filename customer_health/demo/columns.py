"""Small vectorised helpers: random streams, the calendar of the demo, Arrow columns."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from customer_health.demo.schema import TABLES

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NEVER: int = int(np.iinfo(np.int64).min)
"""An instant that did not happen: NaT to numpy, null to Arrow."""
FAR = 10**6
"""A day number beyond every window: has not ended."""
_FOUR_DIGITS = np.frombuffer(
    "".join(f"{number:04d}" for number in range(10_000)).encode("ascii"), dtype=np.uint8
).reshape(-1, 4)


def stage_rng(seed: int, stage: str, part: int = 0) -> np.random.Generator:
    """Return the random stream of one stage, so that a new table leaves the others' rows alone."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), part])


@dataclass(frozen=True)
class Clock:
    """The demo's window: day 0 is `start`, day `days` (exclusive) is the end date, 00:00 UTC."""

    start: np.datetime64
    days: int

    @classmethod
    def ending(cls, end_date: date, days: int) -> Clock:
        """Return the window of `days` days that stops at `end_date`, 00:00 UTC."""
        return cls(np.datetime64(end_date, "D") - np.timedelta64(days, "D"), days)

    @property
    def end_us(self) -> int:
        """The end of the window in microseconds since 1970."""
        return int(self.instants(np.array([self.days]))[0])

    @property
    def weeks(self) -> int:
        """Weeks of the window, the last one possibly cut."""
        return -(-self.days // 7)

    def instants(self, day: npt.NDArray[Any]) -> IntArray:
        """Turn day numbers (fractions allowed) into microseconds since 1970, on whole seconds."""
        first_us = int(self.start.astype("datetime64[us]").astype(np.int64))
        whole = np.floor(day)
        seconds = np.floor((day - whole) * 86_400)
        moments: IntArray = first_us + whole.astype(np.int64) * DAY_US
        moments += seconds.astype(np.int64) * 1_000_000
        return moments

    def dates(self, day: IntArray) -> npt.NDArray[np.datetime64]:
        """Turn whole day numbers into dates."""
        return self.start + day.astype("timedelta64[D]")

    def weekday(self, day: IntArray) -> IntArray:
        """Return 0 (Monday) to 6 for whole day numbers; 1970-01-01 was a Thursday."""
        weekday: IntArray = (self.dates(day).astype(np.int64) + 3) % 7
        return weekday

    def add_months(self, day: IntArray, months: IntArray | int) -> IntArray:
        """Add calendar months to day numbers whose day of the month is at most 28."""
        dates = self.dates(day)
        first = dates.astype("datetime64[M]")
        offset = dates - first.astype("datetime64[D]")
        moved = (first + np.asarray(months, dtype="timedelta64[M]")).astype("datetime64[D]")
        result: IntArray = (moved + offset - self.start).astype(np.int64)
        return result

    def before_month_end(self, day: IntArray) -> IntArray:
        """Move day numbers after the 28th of a month back to it, so that months can be added."""
        dates = self.dates(day)
        offset = (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
        result: IntArray = day - np.maximum(offset - 27, 0)
        return result

    def months_between(self, earlier: IntArray, later: IntArray) -> IntArray:
        """Count the calendar months from one day number to another, days of the month ignored."""
        first = self.dates(earlier).astype("datetime64[M]")
        months: IntArray = (self.dates(later).astype("datetime64[M]") - first).astype(np.int64)
        return months


def sigmoid(value: FloatArray) -> FloatArray:
    """Return the logistic function."""
    return 1.0 / (1.0 + np.exp(-value))


def instants(values: IntArray) -> pa.Array:
    """Return microseconds since 1970 as an Arrow timestamp column, NEVER as null."""
    return pa.array(values.astype(np.int64).view("datetime64[us]"))


def optional(values: npt.NDArray[Any], known: BoolArray) -> pa.Array:
    """Return an Arrow column that is null where `known` is false."""
    return pa.array(values, mask=~known)


def pick(words: pa.Array | list[str] | tuple[str, ...], codes: npt.NDArray[Any]) -> pa.Array:
    """Return `words[code]` for every code, null for negative codes."""
    source = words if isinstance(words, pa.Array) else pa.array(list(words), pa.string())
    return source.take(pa.array(codes, mask=codes < 0))


def padded_ids(prefix: str, numbers: npt.NDArray[Any], width: int) -> pa.Array:
    """Return text ids such as `T000042`: a prefix and zero-padded numbers, null below 0.

    Four digits at a time come from a table, which costs nanoseconds an id.
    """
    length = len(prefix) + width
    characters = np.empty((len(numbers), length), dtype=np.uint8)
    characters[:, : len(prefix)] = np.frombuffer(prefix.encode("ascii"), dtype=np.uint8)
    rest = numbers.astype(np.int64)
    for right in range(length, len(prefix), -4):
        left = max(right - 4, len(prefix))
        rest, group = np.divmod(rest, 10_000)
        characters[:, left:right] = _FOUR_DIGITS[group, 4 - (right - left) :]
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * length
    text = pa.Array.from_buffers(
        pa.large_string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(characters)]
    ).cast(pa.string())
    if (numbers < 0).any():
        positions = np.arange(len(numbers), dtype=np.int64)
        text = text.take(pa.array(positions, mask=numbers < 0))
    return text


def loaded(rng: np.random.Generator, moments: IntArray, clock: Clock) -> pa.Array:
    """Return when rows reached the warehouse: minutes to hours after their latest moment.

    Moments after the window (known ahead, such as due dates) count as its end.
    """
    known = np.minimum(moments, clock.end_us - 1_000_000)
    wait = rng.integers(10 * 60, 6 * 3_600, len(moments)) * 1_000_000
    return instants(known + wait)


def id_width(count: int, at_least: int = 6) -> int:
    """Return how many digits the ids of `count` rows need, bad rows included."""
    return max(at_least, len(str(2 * count + 10)))


def raw_table(name: str, columns: dict[str, Any]) -> pa.Table:
    """Return a raw table with exactly the columns, order and types of the contract.

    Raises ValueError when columns are missing or unknown.
    """
    schema = TABLES[name]
    if set(columns) != set(schema.names):
        differing = sorted(set(columns) ^ set(schema.names))
        raise ValueError(f"{name}: columns differ from the contract: {', '.join(differing)}")
    arrays = []
    for field in schema:
        column = columns[field.name]
        array = column if isinstance(column, pa.Array) else pa.array(column)
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
