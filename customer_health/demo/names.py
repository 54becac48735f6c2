"""Words of the demo company: account names, goals, reasons."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_FIRST = (
    "Velvet", "Copper", "Sleepy", "Cosmic", "Paper", "Marble", "Thunder", "Lemon", "Quiet",
    "Crimson", "Wandering", "Polar", "Ginger", "Silver", "Bouncing", "Honest", "Lucky", "Misty",
    "Electric", "Tiny", "Brave", "Curious", "Salty", "Golden", "Humming", "Pocket", "Spiral",
    "Rusty", "Gentle", "Midnight", "Peppermint", "Wooden", "Jolly", "Amber", "Feather", "Nimble",
)  # fmt: skip
_SECOND = (
    "Walrus", "Otter", "Lantern", "Teapot", "Comet", "Badger", "Pickle", "Harbour", "Kettle",
    "Penguin", "Compass", "Turnip", "Sparrow", "Umbrella", "Biscuit", "Meadow", "Hedgehog",
    "Anchor", "Waffle", "Falcon", "Button", "Marmot", "Cactus", "Thimble", "Lobster", "Beacon",
    "Puffin", "Noodle", "Acorn", "Gecko", "Saddle", "Clover", "Domino", "Lynx", "Trumpet",
)  # fmt: skip
_THIRD = (
    "Logistics", "Labs", "Foods", "Studios", "Robotics", "Insurance", "Travel", "Textiles",
    "Energy", "Clinics", "Games", "Hardware", "Media", "Bakery", "Optics", "Gardens", "Freight",
    "Software", "Furniture", "Academy", "Cycles", "Instruments",
)  # fmt: skip

ODD_NAMES = (
    "Rocket & Sons 🚀🦦",
    'The "Quoted" Quokka Company',
    "O'Malley's Odd Socks",
    "شركة المظلة السعيدة",
    "חברת הפינגווין השמח",
    "<b>Bold & Daughters</b>",
    "Droplet'); drop table accounts; --",
    "Two Lines\nOne Company",
    "Señor Ñandú y Compañía, S.L.",
    "株式会社ねこカフェ",
)
"""Names that a careless page, query or CSV file would trip over."""

INDUSTRIES = (
    "retail", "logistics", "software", "healthcare", "manufacturing", "education", "media",
    "finance", "hospitality",
)  # fmt: skip

GOALS = (
    "Halve the time to build the monthly report",
    "Get every team lead onto a dashboard",
    "Retire the spreadsheet of doom",
    "Answer board questions within a day",
    "Automate the weekly stock check",
    "Connect billing and product data",
    "Make the Monday meeting ten minutes shorter",
)

OVERRIDE_REASONS = (
    "Sponsor confirmed the renewal on a call; usage is low during their office move",
    "New management announced a vendor review, not visible in the data yet",
    "Data migration under way: events are missing until it is done",
    "Escalated outage last week, recovery plan agreed with the customer",
    "Pilot of a second business unit signed, seats follow next month",
)

_SERIES = (len(_FIRST), len(_SECOND), len(_THIRD))


def account_names(rng: np.random.Generator, count: int) -> pa.Array:
    """Return `count` different plain account names such as `Velvet Walrus Logistics`."""
    total = math.prod(_SERIES)
    step = int(rng.integers(total // 3, total // 2))
    while math.gcd(step, total) != 1:
        step += 1
    places = (np.arange(count, dtype=np.int64) * step + int(rng.integers(total))) % total
    first, rest = np.divmod(places, _SERIES[1] * _SERIES[2])
    second, third = np.divmod(rest, _SERIES[2])
    names = pc.binary_join_element_wise(
        pa.array(_FIRST).take(pa.array(first)),
        pa.array(_SECOND).take(pa.array(second)),
        pa.array(_THIRD).take(pa.array(third)),
        " ",
    )
    again = np.arange(count) // total
    if again.any():
        number = pc.cast(pa.array(again + 1), pa.string())
        numbered = pc.binary_join_element_wise(names, number, " ")
        names = pc.if_else(pa.array(again > 0), numbered, names)
    return names
