"""The route of the webhook: verify, find each party by its code, update, answer record by record.

A key may be the code of a party or one of its identifiers (several systems number the same
customers). A key that no party or several have is rejected, and no party is ever created.
"""

from __future__ import annotations

import datetime as dt
import json

from trytond import config
from trytond.exceptions import UserError
from trytond.pool import Pool
from trytond.protocols.wrappers import (
    HTTPStatus,
    abort,
    set_max_request_size,
    user_application,
    with_pool,
    with_transaction,
)
from trytond.routing import Route, Router, Rule
from trytond.transaction import Transaction, without_check_access

from .signing import SignatureError, verify

FIELDS = {
    "score": "health_score",
    "band": "health_band",
    "next_action": "health_next_action",
    "due": "health_due_date",
    "link": "health_link",
    "publication": "health_publication",
}


class CustomerHealth(Router):
    """`POST /<database>/r/customer_health/records/`."""

    __name__ = "customer_health"

    @classmethod
    def __setup__(cls) -> None:
        super().__setup__()
        cls.__routes__["records"] = Route(
            Rule("records/", methods={"POST"}),
            decorators=[
                set_max_request_size(10_000_000),
                with_pool,
                with_transaction(readonly=False),
                user_application("customer_health"),
            ],
        )

    @classmethod
    def records(cls, request, pool):
        """Update the parties of a batch."""
        try:
            verify(config.get("customer_health", "secret"), request.headers, request.data)
        except SignatureError as error:
            abort(HTTPStatus.UNAUTHORIZED, str(error))
        batch = json.loads(request.data)
        return {"results": [_update(record) for record in batch["records"]]}


def _update(record):
    """One record; a party that cannot be saved is rejected with Tryton's own words."""
    Party = Pool().get("party.party")
    key = record["key"]
    found = Party.search(["OR", ("code", "=", key), ("identifiers.code", "=", key)])
    if len(found) != 1:
        code = "ambiguous" if found else "not_found"
        reason = f"{len(found)} parties have this code" if found else "no party has this code"
        return {"key": key, "status": "rejected", "code": code, "reason": reason}
    values = {FIELDS[name]: value for name, value in record["fields"].items()}
    if values.get("health_due_date"):
        values["health_due_date"] = dt.date.fromisoformat(values["health_due_date"])
    transaction = Transaction()
    cursor = transaction.connection.cursor()
    cursor.execute("SAVEPOINT customer_health")
    try:
        # people may not change these fields, the interface may
        with without_check_access():
            Party.write(found, values)
    except UserError as error:
        cursor.execute("ROLLBACK TO SAVEPOINT customer_health")
        return {"key": key, "status": "rejected", "reason": str(error)[:200]}
    return {"key": key, "status": "ok"}
