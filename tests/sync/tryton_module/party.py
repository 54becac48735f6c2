"""What a score adds to a party."""

from __future__ import annotations

from trytond.model import fields
from trytond.pool import PoolMeta

# Tryton refuses what is none of these.
BANDS = [
    (None, ""),
    ("critical", "Critical"),
    ("at_risk", "At Risk"),
    ("healthy", "Healthy"),
    ("thriving", "Thriving"),
    ("insufficient_data", "Insufficient Data"),
]


class Party(metaclass=PoolMeta):
    """A party with the health of the account that it is."""

    __name__ = "party.party"

    health_score = fields.Integer("Health Score", readonly=True)
    health_band = fields.Selection(BANDS, "Health Band", readonly=True)
    health_next_action = fields.Char("Next Action", readonly=True)
    health_due_date = fields.Date("Due", readonly=True)
    health_link = fields.Char("Link", readonly=True)
    health_publication = fields.Char("Publication", readonly=True)
