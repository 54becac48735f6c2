"""Salesforce: updates of accounts (or another object) by an external id.

An upsert by external id would create what it does not find. So the record ids are asked first, by
SOQL; a key that no record or several have is rejected. Then up to 200 records are updated in one
call of `composite/sobjects`, each by itself (`allOrNone` false). Logins, SOQL with its quotes and
pages are simple-salesforce's; its requests go through our session, with our limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from customer_health.errors import HealthError
from customer_health.sync.answers import Answer, BatchFailed
from customer_health.sync.config import Destination
from customer_health.sync.mapping import FieldMapping, Published
from customer_health.sync.plan import Item
from customer_health.sync.transport import HttpSender, Session, json_problem, message_of

if TYPE_CHECKING:
    from simple_salesforce import Salesforce as Client

OWN_KEY = "id"
# Of a query in a URL, percent-encoded; servers take about 16,000.
_LONGEST_QUERY = 6_000


class Salesforce(HttpSender):
    """A Salesforce org, open for sending; logged in at the first batch."""

    def __init__(
        self,
        destination: Destination,
        secrets: Mapping[str, str],
        mapping: FieldMapping,
        published: Published,
        tell: Callable[[str], None],
    ) -> None:
        self._destination = destination
        self._secrets = secrets
        self._mapping = mapping
        self._published = published
        self._session = Session(
            destination,
            secrets,
            tell,
            title="Salesforce",
            problem_of=lambda response: (
                None if response.status_code == 204 else json_problem(response)
            ),
            advice={
                401: "the session has ended; sync again",
                403: "give the user of the integration the right to read and edit the object and "
                "its fields, and look at the API limits of the org",
            },
        )
        self._client: Client | None = None

    def send(self, items: list[Item]) -> list[Answer]:
        """Update some records."""
        with self._session.looking("the login"):
            client = self._client = self._client or self._log_in()
        with self._session.looking("the query for the records"):
            ids = self._find(client, [item.key for item in items])
        answers: dict[str, Answer] = {}
        records, sent = [], []
        for item in items:
            found = ids.get(item.key, [])
            if len(found) == 1:
                records.append(self._record(item, found[0]))
                sent.append(item)
            else:
                answers[item.key] = self._unresolved(item.key, found)
        if records:
            results = client.restful(
                "composite/sobjects",
                method="PATCH",
                json={"allOrNone": False, "records": records},
            )
            if not isinstance(results, list) or len(results) != len(sent):
                raise BatchFailed(
                    "Salesforce's answer is not about the records that were sent", is_unclear=True
                )
            for item, result in zip(sent, results, strict=True):
                answers[item.key] = self._answer(item.key, result)
        return [answers[item.key] for item in items]

    # -- login -----------------------------------------------------------------------------------
    def _log_in(self) -> Client:
        """A client of simple-salesforce with a session of the org.

        Raises:
            Stop: when the login is refused, or leads to another org.
            HealthError: when simple-salesforce is not installed.
        """
        try:
            from simple_salesforce import Salesforce as Client
        except ImportError:
            raise HealthError(
                "Salesforce needs a package of its own: pip install 'customer-health[salesforce]'"
            ) from None
        options = self._destination.options
        with self._session.as_it_is():
            if options["client_id_env"] is not None:
                token, host = self._token_of_client()
            else:
                token, host = self._token_of_user()
        self._session.hide(token)
        expected = urlsplit(options["instance_url"]).netloc
        if host.lower() != expected.lower():
            raise self._session.stop(
                f"the login leads to {host}, and sync.yml says instance_url: "
                f"{options['instance_url']}; nothing was sent"
            )
        return Client(
            session_id=token,
            instance_url=options["instance_url"],
            session=self._session,
            version=options["api_version"],
        )

    def _token_of_client(self) -> tuple[str, str]:
        """OAuth 2.0 client credentials; simple-salesforce knows them for some hosts only."""
        options = self._destination.options
        response = self._session.post(
            f"{options['instance_url']}/services/oauth2/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._secrets["client_id"],
                "client_secret": self._secrets["client_secret"],
            },
        )
        if response.status_code != 200 or json_problem(response) is not None:
            raise self._refused(
                f"{response.status_code}: {message_of(response)}",
                f"{options['client_id_env']} and {options['client_secret_env']}",
            )
        body = response.json()
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise self._refused("no token", options["client_id_env"])
        return token, urlsplit(str(body.get("instance_url"))).netloc

    def _token_of_user(self) -> tuple[str, str]:
        """User name, password and security token, over SOAP."""
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed
        from simple_salesforce.login import SalesforceLogin

        options = self._destination.options
        try:
            token, host = SalesforceLogin(
                username=self._secrets["username"],
                password=self._secrets["password"],
                security_token=self._secrets["security_token"],
                sf_version=options["api_version"],
                scratch_url=options["login_url"],
                session=self._session,
            )
        except SalesforceAuthenticationFailed as error:
            said = error.auth_message or str(error.code)
            names = (options[name] for name in ("username_env", "password_env"))
            raise self._refused(
                said, f"{', '.join(names)} and {options['security_token_env']}"
            ) from None
        except Exception as error:
            # what it makes of an answer that is no XML
            if isinstance(error, (HealthError, BatchFailed)):
                raise
            raise self._refused("an answer that is no login", options["username_env"]) from None
        return token, host

    def _refused(self, said: str, names: str) -> HealthError:
        """A login that was refused; tried once only, since users get locked."""
        return self._session.stop(
            f"Salesforce refuses the login ({self._session.scrub(said)}): look at {names}"
        )

    # -- records ---------------------------------------------------------------------------------
    def _find(self, client: Client, keys: list[str]) -> dict[str, list[str]]:
        """The ids of the records that have each of some keys.

        Text is compared by Salesforce without upper and lower case; here it counts.
        """
        from simple_salesforce.format import format_soql

        options = self._destination.options
        field, table = options["key"], options["object"]
        is_own = field.lower() == OWN_KEY
        fields = "Id" if is_own else f"Id, {field}"
        found: dict[str, list[str]] = {}
        for part in _chunks(keys):
            # the names have passed the form of an API name; the keys are quoted
            query = format_soql(f"SELECT {fields} FROM {table} WHERE {field} IN {{}}", part)
            for record in client.query_all_iter(query):
                if is_own:
                    # an id has 15 characters, and 3 more that only check upper and lower case
                    own = [key for key in part if key[:15] == record["Id"][:15]]
                    found.update({key: [record["Id"]] for key in own})
                else:
                    found.setdefault(str(record.get(field)), []).append(record["Id"])
        return found

    def _unresolved(self, key: str, found: list[str]) -> Answer:
        """Why a record cannot be updated; without its key, so that reasons can be counted."""
        options = self._destination.options
        if not found:
            return Answer(key, f"no {options['object']} with this {options['key']}", True)
        return Answer(
            key,
            f"{len(found)} records of {options['object']} have this {options['key']}; "
            "make it unique",
        )

    def _record(self, item: Item, record_id: str) -> dict[str, Any]:
        """One record as the interface takes it."""
        if item.is_clearing:
            fields = self._mapping.clear(self._published)
        else:
            fields = self._mapping.render(item.row, self._published)
        kind = self._destination.options["object"]
        return {"attributes": {"type": kind}, "id": record_id, **fields}

    def _answer(self, key: str, result: Any) -> Answer:
        """What the interface says about one record."""
        if isinstance(result, dict) and result.get("success") is True:
            return Answer(key)
        errors = result.get("errors") if isinstance(result, dict) else None
        texts, is_missing = [], False
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                code = str(error.get("statusCode") or "")
                is_missing = is_missing or code == "ENTITY_IS_DELETED"
                texts.append(f"{code}: {error.get('message')}")
        because = self._session.scrub("; ".join(texts)) or "Salesforce gives no reason"
        return Answer(key, because, is_missing)


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    """Keys in parts that fit into one query each."""
    part: list[str] = []
    length = 0
    for key in keys:
        size = len(quote(key)) + 9  # quotes and comma, encoded
        if part and length + size > _LONGEST_QUERY:
            yield part
            part, length = [], 0
        part.append(key)
        length += size
    if part:
        yield part
