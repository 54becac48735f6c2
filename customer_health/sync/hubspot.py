"""HubSpot: batch updates of companies (or another object) by a property with unique values.

`POST /crm/v3/objects/{object}/batch/update` updates and never creates. It answers for each record:
what it updated in `results`, what it did not in `errors`, whose `context` names the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from customer_health.sync.answers import Answer, BatchRefused
from customer_health.sync.config import Destination
from customer_health.sync.mapping import FieldMapping, Published
from customer_health.sync.plan import Item
from customer_health.sync.transport import HttpSender, Session, json_problem

# Ids that HubSpot has given itself; every other key is a property of ours.
OWN_KEY = "hs_object_id"
_NOT_FOUND = "OBJECT_NOT_FOUND"


class HubSpot(HttpSender):
    """A HubSpot portal, open for sending."""

    def __init__(
        self,
        destination: Destination,
        secrets: Mapping[str, str],
        mapping: FieldMapping,
        published: Published,
        tell: Callable[[str], None],
    ) -> None:
        options = destination.options
        token_name = options["token_env"]
        self._destination = destination
        self._mapping = mapping
        self._published = published
        self._session = Session(
            destination,
            secrets,
            tell,
            title="HubSpot",
            problem_of=json_problem,
            advice={
                401: f"the token in {token_name} is wrong or expired; put a valid one there",
                403: f"give the private app of the token in {token_name} the scope "
                f"crm.objects.{options['object']}.write",
            },
        )
        self._session.headers["Authorization"] = f"Bearer {secrets['token']}"
        self._base = options["base_url"]
        self._is_checked = False

    def send(self, items: list[Item]) -> list[Answer]:
        """Update some records."""
        self._session.was_unclear = False
        self._check_portal()
        options = self._destination.options
        inputs = [self._input(item, options["key"]) for item in items]
        url = f"{self._base}/crm/v3/objects/{options['object']}/batch/update"
        body = self._session.post(url, json={"inputs": inputs}).json()
        return self._answers(items, body if isinstance(body, dict) else {})

    def _check_portal(self) -> None:
        """Before anything is written: the token belongs to the portal that sync.yml names.

        Raises:
            Stop: when it does not.
        """
        if self._is_checked:
            return
        with self._session.looking("the portal of the token"):
            found = self._session.get(f"{self._base}/account-info/v3/details").json()
        portal = str(found.get("portalId")) if isinstance(found, dict) else "nothing"
        if portal != self._destination.options["portal"]:
            raise self._session.stop(
                f"the token in {self._destination.options['token_env']} belongs to the portal "
                f"{portal}, and sync.yml says portal: {self._destination.options['portal']}; "
                "nothing was sent"
            )
        self._is_checked = True

    def _input(self, item: Item, key: str) -> dict[str, Any]:
        """One record as the interface takes it; null is an empty text there."""
        if item.is_clearing:
            fields = self._mapping.clear(self._published)
        else:
            fields = self._mapping.render(item.row, self._published)
        properties = {name: _text(value) for name, value in fields.items()}
        written: dict[str, Any] = {"id": item.key, "properties": properties}
        return written if key == OWN_KEY else {**written, "idProperty": key}

    def _answers(self, items: list[Item], body: Mapping[str, Any]) -> list[Answer]:
        """What came of each record.

        Raises:
            BatchRefused: when the answer does not say it of each; then fewer are sent at a time.
        """
        errors = body.get("errors") or []
        keys = {item.key for item in items}
        bad: dict[str, Answer] = {}
        general = "HubSpot's answer says nothing about it"
        for error in errors if isinstance(errors, list) else []:
            if not isinstance(error, dict):
                continue
            reason = self._session.scrub(str(error.get("message") or error.get("category")))
            general = reason
            is_missing = error.get("category") == _NOT_FOUND
            for key in _named(error.get("context")) & keys:
                because = self._missing(key) if is_missing else reason
                bad[key] = Answer(key, because, is_missing)
        results = body.get("results")
        updated = len(results) if isinstance(results, list) else 0
        if updated + len(bad) != len(items):
            if len(items) > 1:
                self._session.was_unclear = True
                raise BatchRefused(general)
            return [Answer(items[0].key, general, is_unclear=not errors)]
        return [bad.get(item.key) or Answer(item.key) for item in items]

    def _missing(self, key: str) -> str:
        """Why a record was not found, without its key: equal reasons are counted together."""
        options = self._destination.options
        return f"no {options['object']} with this {options['key']}"


def _named(context: Any) -> set[str]:
    """The ids that the context of an error names, under whatever name."""
    found: set[str] = set()
    for value in context.values() if isinstance(context, dict) else ():
        found.update(map(str, value) if isinstance(value, list) else (str(value),))
    return found


def _text(value: Any) -> str:
    """A value as a property's text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
