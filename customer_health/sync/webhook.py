"""A webhook: signed JSON to an address of your own, with a key that makes repeats harmless.

The body is `{"publication_id", "as_of_date", "published_at", "destination", "batch_id", "records":
[{"key", "operation": "update" or "clear", "fields": {…}}]}`. Any answer of 2xx takes all records,
unless it is JSON with `{"results": [{"key", "status": "ok" or "rejected", "reason", "code"}]}`:
then it takes those that it calls ok. `signing.verify` is for the receiver.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from customer_health.sync.answers import Answer
from customer_health.sync.config import Destination, url_in_words
from customer_health.sync.mapping import FieldMapping, Published, plain
from customer_health.sync.plan import Item
from customer_health.sync.signing import (
    IDEMPOTENCY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    sign,
)
from customer_health.sync.transport import HttpSender, Session, json_problem

NOT_FOUND = "not_found"


class Webhook(HttpSender):
    """An address, open for sending."""

    def __init__(
        self,
        destination: Destination,
        secrets: Mapping[str, str],
        mapping: FieldMapping,
        published: Published,
        tell: Callable[[str], None],
        delivery_id: str,
    ) -> None:
        self._destination = destination
        self._mapping = mapping
        self._published = published
        self._delivery_id = delivery_id
        self._url = secrets.get("url") or destination.options["url"]
        self._secret = secrets["secret"]
        where = url_in_words(self._url)
        token_name = destination.options["token_env"]
        advice = f"do both sides have the secret of {destination.options['secret_env']}" + (
            f" and the token of {token_name}?" if token_name else "?"
        )
        self._session = Session(
            destination,
            {**secrets, "the url": self._url},
            tell,
            title=where,
            problem_of=_problem,
            advice={401: advice, 403: advice},
        )
        if "token" in secrets:
            self._session.headers["Authorization"] = f"Bearer {secrets['token']}"

    def send(self, items: list[Item]) -> list[Answer]:
        """Post some records."""
        self._session.was_unclear = False
        body, batch_id = self._body(items)

        def signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # at each try anew: receivers refuse old timestamps
            moment = int(time.time())
            request.headers[TIMESTAMP_HEADER] = str(moment)
            request.headers[SIGNATURE_HEADER] = sign(self._secret, moment, body)
            return request

        headers = {"Content-Type": "application/json", IDEMPOTENCY_HEADER: batch_id}
        response = self._session.post(self._url, data=body, headers=headers, auth=signed)
        return self._answers(items, response)

    def _body(self, items: list[Item]) -> tuple[bytes, str]:
        """The request as bytes, and the id of the batch: equal batches of a delivery have one."""
        published = self._published
        records = [self._record(item) for item in items]
        content = json.dumps([self._delivery_id, published.publication_id, records])
        batch_id = hashlib.sha256(content.encode()).hexdigest()[:32]
        body = {
            "publication_id": published.publication_id,
            "as_of_date": plain(published.as_of_date),
            "published_at": plain(published.published_at),
            "destination": self._destination.name,
            "batch_id": batch_id,
            "records": records,
        }
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), batch_id

    def _record(self, item: Item) -> dict[str, Any]:
        """One record as it is sent."""
        if item.is_clearing:
            operation, fields = "clear", self._mapping.clear(self._published)
        else:
            operation, fields = "update", self._mapping.render(item.row, self._published)
        return {"key": item.key, "operation": operation, "fields": fields}

    def _answers(self, items: list[Item], response: requests.Response) -> list[Answer]:
        """What came of each record."""
        results = _results(response)
        if results is None:
            return [Answer(item.key) for item in items]
        by_key = {str(result.get("key")): result for result in results if isinstance(result, dict)}
        return [self._answer(item.key, by_key.get(item.key)) for item in items]

    def _answer(self, key: str, result: dict[str, Any] | None) -> Answer:
        """What the receiver says about one record."""
        if result is None:
            return Answer(key, "the answer does not name it", is_unclear=True)
        if result.get("status") == "ok":
            return Answer(key)
        because = self._session.scrub(str(result.get("reason") or "no reason given"))
        is_missing = result.get("code") == NOT_FOUND
        return Answer(key, because, is_missing, is_unclear=result.get("status") != "rejected")


def _results(response: requests.Response) -> list[Any] | None:
    """The answer record by record; None where the receiver gives none."""
    try:
        body = response.json()
    except ValueError:
        return None
    results = body.get("results") if isinstance(body, dict) else None
    return results if isinstance(results, list) else None


def _problem(response: requests.Response) -> str | None:
    """What is wrong with an answer of 2xx: a page is no answer, nor is broken JSON."""
    kind = response.headers.get("Content-Type", "")
    if "html" in kind or ("json" in kind and response.content.strip()):
        return json_problem(response)
    return None
