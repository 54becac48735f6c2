"""Who may call the route: a user application, as Tryton has them for its own interfaces."""

from __future__ import annotations

from trytond.pool import PoolMeta


class UserApplication(metaclass=PoolMeta):
    """A key of a user for this application only."""

    __name__ = "res.user.application"

    @classmethod
    def __setup__(cls) -> None:
        super().__setup__()  # type: ignore[misc]
        cls.application.selection.append(("customer_health", "Customer Health"))
