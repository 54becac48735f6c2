"""How bands look: a colour, an icon and a label each, so that nobody has to tell the colours apart.

Colours are those of Okabe and Ito (2008), as in the validation report.
"""

from __future__ import annotations

from dataclasses import dataclass

from customer_health.validation.pictures import BLUE, GREEN, GREY, RED, band_colour, band_label
from customer_health.warehouses import Reader

_YELLOW = "#e69f00"
_ICONS = {"red": "✕", "yellow": "!", "green": "✓", "grey": "?"}
_TOP_ICON = "★"
_TINTS = {RED: "#fbe0d1", _YELLOW: "#fcebc8", GREEN: "#cfeee2", BLUE: "#d3e6f5"}


@dataclass(frozen=True)
class Band:
    """A band of the policy.

    Attributes:
        key: as in the marts.
        label: for people.
        rank: 1 is the worst; None where there is no score.
        light: red, yellow, green or grey.
        icon: one character.
        colour: of bars and areas.
        tint: background under dark text.
    """

    key: str
    label: str
    rank: int | None
    light: str
    icon: str
    colour: str
    tint: str

    @property
    def needs_attention(self) -> bool:
        """Whether its light is red or yellow."""
        return self.light in ("red", "yellow")


def read_bands(reader: Reader) -> dict[str, Band]:
    """The bands that accounts are or were in, the worst first, the one without a score last."""
    rows = reader.records(
        """
        with

        seen as (
            select
                band,
                max(band_rank) as band_rank
            from {marts}.fct_health__account_scores
            where band is not null
            group by band
        ),

        labels as (
            select
                band,
                min(band_label) as band_label,
                min(traffic_light) as traffic_light
            from {marts}.bi_health__account_360
            where band is not null
            group by band
        )

        select
            seen.band,
            seen.band_rank,
            labels.band_label,
            labels.traffic_light
        from seen
        left join labels
            on seen.band = labels.band
        order by seen.band_rank nulls last, seen.band
        """
    )
    best = max((row["band_rank"] for row in rows if row["band_rank"] is not None), default=None)
    found = {}
    for row in rows:
        rank = row["band_rank"]
        colour = GREY if rank is None else band_colour(row)
        light = row["traffic_light"] or _LIGHT_OF_COLOUR.get(colour, "grey")
        icon = _TOP_ICON if rank is not None and rank == best else _ICONS.get(light, "?")
        found[row["band"]] = Band(
            key=row["band"],
            label=row["band_label"] or band_label(row["band"]),
            rank=rank,
            light=light,
            icon=icon,
            colour=colour,
            tint=_TINTS.get(colour, "#e6e8eb"),
        )
    return found


# For a band that no account is in today, whose light the marts do not tell.
_LIGHT_OF_COLOUR = {RED: "red", _YELLOW: "yellow", GREEN: "green", BLUE: "green"}


def unknown_band(key: str | None) -> Band:
    """A band that the marts do not rank."""
    label = band_label(key) if key else "No band"
    return Band(key or "", label, None, "grey", "?", GREY, "#e6e8eb")
