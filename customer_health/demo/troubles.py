"""What goes wrong at accounts: troubles that pass, and those that end in a churn.

A trouble has a depth (0: none, in units of the latent health) and a cause. The cause decides in
which aspects of an account it shows: an account that finds no use for the product logs in less
but pays in time, one that is short of money pays late and complains about nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from customer_health.demo.columns import FAR, BoolArray, Clock, FloatArray, IntArray, stage_rng


class Aspect(IntEnum):
    """What of an account a table shows; OVERALL is what it amounts to for the contract."""

    USAGE = 0
    SERVICE = 1  # tickets, what people say about support
    MOOD = 2  # answers, talks, interest
    MONEY = 3
    OVERALL = 4


# Share of the depth that shows, by cause (rows) and aspect. Causes: little use, bad service,
# nobody who believes in the product, no money.
_SHOWN = np.array(
    [
        [1.0, 0.2, 0.6, 0.2, 0.8],
        [0.5, 1.0, 0.9, 0.3, 0.8],
        [0.7, 0.3, 1.0, 0.2, 0.8],
        [0.7, 0.2, 0.5, 1.0, 0.8],
    ]
)
_CAUSE_SHARES = np.array([0.42, 0.23, 0.22, 0.13])

_PASSING_SLOTS = 2
_PASSING_SHARE = 0.4  # of the slots hold a trouble
_PASSING_WEEKS = (8, 22)
_DECLINE_WEEKS = (13, 27)  # three to six months
_SUDDEN_SHARE = 0.1  # of those who leave showed nothing before
_RAMP_SHARE = 0.5  # of a decline's weeks, until its full depth


@dataclass(frozen=True)
class Troubles:
    """Depth of the trouble of each account and week, and where it shows (accounts × aspects)."""

    depth: npt.NDArray[np.float32]
    shown: npt.NDArray[np.float32]

    @property
    def overall(self) -> npt.NDArray[np.float32]:
        """What the troubles amount to for the contract: accounts × weeks."""
        return self.depth * self.shown[:, Aspect.OVERALL][:, None]

    def weekly(self, aspect: Aspect, accounts: IntArray | slice, weeks: slice) -> FloatArray:
        """Return what shows in an aspect: accounts × weeks."""
        shown = self.shown[accounts, aspect][:, None]
        return (self.depth[accounts, weeks] * shown).astype(np.float64)

    def at(self, aspect: Aspect, account: IntArray, week: IntArray) -> FloatArray:
        """Return what shows in an aspect at (account, week) pairs."""
        return (self.depth[account, week] * self.shown[account, aspect]).astype(np.float64)


def passing_troubles(seed: int, count: int, weeks: int) -> Troubles:
    """Draw troubles that come and go within two to five months, whether anybody leaves or not."""
    rng = stage_rng(seed, "troubles")
    cause = rng.choice(len(_CAUSE_SHARES), count, p=_CAUSE_SHARES)
    depth = np.zeros((count, weeks), dtype=np.float32)
    week = np.arange(weeks)[None, :]
    for _ in range(_PASSING_SLOTS):
        there = rng.random(count) < _PASSING_SHARE
        length = rng.integers(*_PASSING_WEEKS, count, endpoint=True)
        start = rng.integers(-_PASSING_WEEKS[1], weeks, count)
        peak = rng.gamma(4.0, 0.3, count) * there
        age = np.clip((week - start[:, None]) / length[:, None], 0.0, 1.0)
        np.maximum(depth, peak[:, None] * np.sin(np.pi * age), out=depth, casting="same_kind")
    return Troubles(depth, _SHOWN[cause].astype(np.float32))


def with_declines(
    troubles: Troubles, seed: int, clock: Clock, *, leaves_day: IntArray, first_week: int
) -> Troubles:
    """Add the months before a churn: most accounts that leave (day < FAR) drift away first.

    `first_week` is the column of `depth` that holds the first week of the window.
    """
    rng = stage_rng(seed, "declines")
    count, weeks = len(troubles.depth), troubles.depth.shape[1]
    drifts: BoolArray = (leaves_day < FAR) & (rng.random(count) >= _SUDDEN_SHARE)
    who = np.flatnonzero(drifts)
    length = rng.integers(_DECLINE_WEEKS[0], _DECLINE_WEEKS[1], count, endpoint=True)[who, None]
    full = (1.2 + rng.gamma(3.0, 0.25, count))[who, None]
    begin = (leaves_day[who] / 7 + first_week)[:, None] - length
    age = (np.arange(weeks)[None, :] - begin) / length
    ramp = np.clip(age / _RAMP_SHARE, 0.0, 1.0) * full
    depth = troubles.depth.copy()
    depth[who] = np.maximum(depth[who], ramp)
    return Troubles(depth, troubles.shown)


__all__ = ["Aspect", "Troubles", "passing_troubles", "with_declines"]
