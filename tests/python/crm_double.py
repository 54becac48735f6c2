"""A CRM on this machine: HubSpot's, Salesforce's and a webhook's interface, with faults on order.

It follows what the vendors document, and is no copy of what they run: names of errors, limits and
the form of answers are theirs, everything else is the least that makes a CRM. The records live in
memory, some keys may be there twice. Signatures are checked here by hand, so that a mistake in
`sync.signing` cannot agree with itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

TOKEN = "pat-eu1-2f6c1a54-never-shown"
CLIENT_ID = "3MVG9-client-never-shown"
CLIENT_SECRET = "client-secret-never-shown"
USERNAME = "sync@example.com"
PASSWORD = "p4ss-never-shown"
SECURITY_TOKEN = "sectok-never-shown"
SESSION = "00Dxx!session-never-shown"
SECRET = "webhook-secret-never-shown"
HOOK = "/hooks/path-never-shown"
SECRETS = (TOKEN, CLIENT_ID, CLIENT_SECRET, PASSWORD, SECURITY_TOKEN, SESSION, SECRET, HOOK[7:])
PORTAL = 4711
KEY = "customer_health_account_id"
SALESFORCE_KEY = "Health_Key__c"
HUBSPOT_MOST = 100
SALESFORCE_MOST = 200
_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"


@dataclass(frozen=True)
class Fault:
    """What happens to the next request of a kind.

    Attributes:
        kind: `status` (answers `status` with `body`), `cut` (closes the connection), `slow`
            (answers after `seconds`), `malformed` (broken JSON), `html` (a page with 200).
        takes_effect: whether the request is carried out all the same.
        on: kind of request: write, query, token or portal.
    """

    kind: str
    takes_effect: bool = False
    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    seconds: float = 0.0
    on: str = "write"


@dataclass
class Record:
    """A record of the CRM."""

    id: str
    key: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request that arrived."""

    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Crm:
    """The records, the faults that are ordered, and what arrived."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.lock = threading.Lock()
        self.records: list[Record] = []
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        # beside each request: the keys that its answer said were taken; None without such an answer
        self.answered: list[set[str] | None] = []
        # per record: its reason; and whether one bad record spoils its whole batch
        self.rejects: dict[str, str] = {}
        self.spoils: set[str] = set()
        # writes that were carried out, in their order: (key, fields)
        self.writes: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[str] = []
        self.token = TOKEN
        self.page_size = 2000
        self.answers_by_record = True
        # called with the number of a write, from 1, and whether it has been carried out
        self.on_write: Callable[[int, bool], None] = lambda number, is_done: None
        self.base_url = ""
        self.ca_file: Path | None = None
        self.add(*keys)

    def add(self, *keys: str) -> None:
        """New records; a key that is there already is there twice from then on."""
        for key in keys:
            number = len(self.records) + 1
            self.records.append(Record(f"001{number:012d}AAA", key))

    def remove(self, key: str) -> None:
        """Somebody deletes a record in the CRM."""
        self.records = [record for record in self.records if record.key != key]

    def fields(self) -> dict[str, dict[str, Any]]:
        """Key -> what we have written; of records that were never written, nothing."""
        return {record.key: dict(record.fields) for record in self.records if record.fields}

    def kinds(self) -> Counter[str]:
        """Requests by kind."""
        return Counter(request.kind for request in self.requests)

    def next_fault(self, kind: str) -> Fault | None:
        """The fault that is due for a request of this kind."""
        with self.lock:
            if self.faults and self.faults[0].on == kind:
                return self.faults.popleft()
        return None

    def write(self, key: str, found: list[Record], fields: dict[str, Any]) -> None:
        """Carry out an update."""
        with self.lock:
            found[0].fields.update(fields)
            self.writes.append((key, fields))


@contextmanager
def serving(crm: Crm, *, tls_folder: Path | None = None) -> Iterator[Crm]:
    """Answer on a port of this machine while this holds; with TLS where a folder is given."""

    class Handler(_Handler):
        pass

    Handler.crm = crm
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if tls_folder is not None:
        import trustme

        authority = trustme.CA()
        crm.ca_file = tls_folder / "authority.pem"
        authority.cert_pem.write_to_path(crm.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    crm.base_url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield crm
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Cut(Exception):
    """Close the connection without an answer."""


class _Handler(BaseHTTPRequestHandler):
    """Routes, faults and answers."""

    crm: Crm
    protocol_version = "HTTP/1.1"
    timeout = 30
    # one packet an answer: the system would wait for more otherwise
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        kind = self._kind(path)
        self.taken: set[str] = set()
        with self.crm.lock:
            number = len(self.crm.requests)
            self.crm.requests.append(
                Request(kind, self.command, self.path, dict(self.headers.items()), body)
            )
            self.crm.answered.append(None)
        try:
            fault = self.crm.next_fault(kind)
            self._answer(kind, path, body, fault, number)
        except _Cut:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(2)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    def _kind(self, path: str) -> str:
        """What a request is for."""
        if path.startswith(("/services/oauth2/token", "/services/Soap/")):
            return "token"
        if path.startswith("/account-info/"):
            return "portal"
        if "/query" in path:
            return "query"
        return "write"

    def _answer(self, kind: str, path: str, body: bytes, fault: Fault | None, number: int) -> None:
        """Carry out and answer, or do what the fault says."""
        if fault is not None and not fault.takes_effect and fault.kind == "cut":
            raise _Cut
        if fault is not None and fault.kind == "status" and not fault.takes_effect:
            self._send(fault.status, fault.body, dict(fault.headers))
            return
        if fault is not None and fault.kind == "html" and not fault.takes_effect:
            self._send_bytes(200, b"<html><title>Sign in</title></html>", "text/html")
            return
        if fault is not None and fault.kind == "slow" and not fault.takes_effect:
            time.sleep(fault.seconds)
            raise _Cut
        if kind == "write":
            writes = self.crm.kinds()["write"]
            self.crm.on_write(writes, False)
            status, answer = self._carry_out(kind, path, body)
            self.crm.on_write(writes, True)
        else:
            status, answer = self._carry_out(kind, path, body)
        if fault is None:
            # before it is sent: who reads the answer may ask at once
            self.crm.answered[number] = set(self.taken)
            self._send(status, answer, {})
        elif fault.kind == "cut":
            raise _Cut
        elif fault.kind == "slow":
            time.sleep(fault.seconds)
            self._send(status, answer, {})
        elif fault.kind == "malformed":
            self._send_bytes(200, b'{"results": [', "application/json")
        elif fault.kind == "html":
            self._send_bytes(200, b"<html>done</html>", "text/html; charset=utf-8")
        else:
            self._send(fault.status, fault.body, dict(fault.headers))

    def _carry_out(self, kind: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and content of the answer."""
        if path.startswith("/services/"):
            return self._salesforce(kind, path, body)
        if path == HOOK:
            return self._webhook(body)
        if self.headers.get("Authorization") != f"Bearer {self.crm.token}":
            # as careless as a service can be: it repeats what it was sent
            return 401, {
                "status": "error",
                "message": f"The token {self.headers.get('Authorization')} is expired",
                "category": "INVALID_AUTHENTICATION",
            }
        if kind == "portal":
            return 200, {"portalId": PORTAL, "uiDomain": "app.hubspot.com"}
        if re.fullmatch(r"/crm/v3/objects/companies/batch/update", path):
            return self._hubspot(json.loads(body))
        return 404, {"status": "error", "message": f"no {path}"}

    # -- HubSpot -------------------------------------------------------------------------------
    def _hubspot(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Batch update: what cannot be done is listed by its ids; one bad value spoils a batch."""
        inputs = body["inputs"]
        if len(inputs) > HUBSPOT_MOST:
            return 400, {"status": "error", "message": "The maximum batch size is 100"}
        ids = [each["id"] for each in inputs]
        self.crm.sent.extend(ids)
        if len(set(ids)) != len(ids):
            return 400, {"status": "error", "message": "Duplicate IDs found in batch input"}
        spoilt = [each for each in ids if each in self.crm.spoils]
        if spoilt:
            return 400, {
                "status": "error",
                "message": f"Property values were not valid: {self.crm.rejects[spoilt[0]]}",
                "category": "VALIDATION_ERROR",
            }
        results, missing, errors = [], [], []
        for each in inputs:
            name = each.get("idProperty", "hs_object_id")
            found = [
                record
                for record in self.crm.records
                if (record.id if name == "hs_object_id" else record.key) == each["id"]
            ]
            if name not in (KEY, "hs_object_id"):
                return 400, {"status": "error", "message": f"{name} is not a unique property"}
            if not found:
                missing.append(each["id"])
            elif each["id"] in self.crm.rejects or len(found) > 1:
                reason = self.crm.rejects.get(each["id"], "several records have this value")
                errors.append(
                    {"status": "error", "category": "VALIDATION_ERROR", "message": reason,
                     "context": {"ids": [each["id"]]}}
                )  # fmt: skip
            else:
                texts = {key: value or None for key, value in each["properties"].items()}
                self.crm.write(each["id"], found, texts)
                self.taken.add(each["id"])
                results.append({"id": found[0].id, "properties": each["properties"]})
        if missing:
            errors.append(
                {"status": "error", "category": "OBJECT_NOT_FOUND",
                 "message": "Could not get some COMPANY objects, they may be deleted or not "
                 "exist. Check that ids are valid.", "context": {"ids": missing}}
            )  # fmt: skip
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if errors:
            return 207, {**answer, "numErrors": len(missing) + len(errors), "errors": errors}
        return 200, answer

    # -- Salesforce ----------------------------------------------------------------------------
    def _salesforce(self, kind: str, path: str, body: bytes) -> tuple[int, Any]:
        """Logins, SOQL, and updates of collections."""
        if path == "/services/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
                return 400, {"error": "invalid_client", "error_description": "invalid client"}
            return 200, {"access_token": SESSION, "instance_url": self.crm.base_url}
        if path.startswith("/services/Soap/u/"):
            return self._soap(body)
        if self.headers.get("Authorization") != f"Bearer {SESSION}":
            return 401, [{"message": "Session expired or invalid",
                          "errorCode": "INVALID_SESSION_ID"}]  # fmt: skip
        if kind == "query":
            return self._query(path)
        if path == "/services/data/v62.0/composite/sobjects" and self.command == "PATCH":
            return self._collection(json.loads(body))
        return 404, [{"message": "The requested resource does not exist",
                      "errorCode": "NOT_FOUND"}]  # fmt: skip

    def _soap(self, body: bytes) -> tuple[int, Any]:
        """The login call; a fault has the status 500, as with every SOAP service."""
        tree = ElementTree.fromstring(body)
        login = tree.find(f"{_SOAP}Body")[0]  # type: ignore[index]
        values = [element.text for element in login]
        if values != [USERNAME, PASSWORD + SECURITY_TOKEN]:
            return 500, (
                "<x xmlns:sf='urn:fault.partner.soap.sforce.com'><sf:exceptionCode>INVALID_LOGIN"
                "</sf:exceptionCode><sf:exceptionMessage>Invalid username, password, security "
                f"token {values[1]}; or user locked out.</sf:exceptionMessage></x>"
            )
        host = urlsplit(self.crm.base_url).netloc
        return 200, (
            f"<x><serverUrl>https://{host}/services/Soap/u/62.0</serverUrl>"
            f"<sessionId>{SESSION}</sessionId></x>"
        )

    def _query(self, path: str) -> tuple[int, Any]:
        """`SELECT Id, F FROM O WHERE F IN ('a','b')`, in pages; texts compare without case."""
        more = re.fullmatch(r"/services/data/v62\.0/query/(\d+)-(.*)", path)
        if more:
            matches = json.loads(bytes.fromhex(more[2]))
            return 200, self._page(matches, int(more[1]))
        query = parse_qs(urlsplit(self.path).query)["q"][0]
        if len(self.path) > 16_000:
            return 414, [{"message": "URI too long", "errorCode": "URI_TOO_LONG"}]
        form = r"SELECT Id(?:, (\w+))? FROM (\w+) WHERE (\w+) IN \((.*)\)"
        parsed = re.fullmatch(form, query, re.DOTALL)
        if not parsed or parsed[2] != "Account" or parsed[3] not in (SALESFORCE_KEY, "Id"):
            return 400, [{"message": f"No such column in {query[:60]}",
                          "errorCode": "INVALID_FIELD"}]  # fmt: skip
        quoted = re.findall(r"'((?:[^'\\]|\\.)*)'", parsed[4], re.DOTALL)
        escapes = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
        wanted = {
            re.sub(r"\\(.)", lambda each: escapes.get(each[1], each[1]), text).lower()
            for text in quoted
        }
        if parsed[3] == "Id":
            found = [r for r in self.crm.records if {r.id.lower(), r.id[:15].lower()} & wanted]
            return 200, self._page([{"Id": record.id} for record in found], 0)
        found = [record for record in self.crm.records if record.key.lower() in wanted]
        return 200, self._page([{"Id": r.id, SALESFORCE_KEY: r.key} for r in found], 0)

    def _page(self, matches: list[dict[str, str]], start: int) -> dict[str, Any]:
        """Part of the matches, and where the rest is."""
        end = start + self.crm.page_size
        answer = {"totalSize": len(matches), "records": matches[start:end]}
        if end >= len(matches):
            return {**answer, "done": True}
        rest = json.dumps(matches).encode().hex()
        return {
            **answer,
            "done": False,
            "nextRecordsUrl": f"/services/data/v62.0/query/{end}-{rest}",
        }

    def _collection(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Updates by record id, each by itself."""
        records = body["records"]
        if len(records) > SALESFORCE_MOST or body["allOrNone"] is not False:
            return 400, [{"message": "record limit reached", "errorCode": "LIMIT_EXCEEDED"}]
        answers = []
        for each in records:
            fields = {
                name: value for name, value in each.items() if name not in ("attributes", "id")
            }
            found = [record for record in self.crm.records if record.id == each["id"]]
            self.crm.sent.extend(record.key for record in found)
            if not found:
                answers.append(_error("ENTITY_IS_DELETED", "entity is deleted"))
            elif found[0].key in self.crm.rejects:
                answers.append(
                    _error("FIELD_CUSTOM_VALIDATION_EXCEPTION", self.crm.rejects[found[0].key])
                )
            else:
                self.crm.write(found[0].key, found, fields)
                self.taken.add(found[0].key)
                answers.append({"id": each["id"], "success": True, "errors": []})
        return 200, answers

    # -- webhook -------------------------------------------------------------------------------
    def _webhook(self, body: bytes) -> tuple[int, Any]:
        """Verify, update by key; a batch that was carried out once is not carried out again."""
        moment = self.headers["X-Customer-Health-Timestamp"]
        message = moment.encode() + b"." + body
        right = "v1=" + hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
        if self.headers["X-Customer-Health-Signature"] != right:
            return 401, {"error": "wrong signature"}
        if abs(time.time() - int(moment)) > 60:
            return 401, {"error": "old timestamp"}
        results = []
        for each in json.loads(body)["records"]:
            self.crm.sent.append(each["key"])
            found = [record for record in self.crm.records if record.key == each["key"]]
            answer = {"key": each["key"], "status": "rejected"}
            if len(found) != 1:
                code = "ambiguous" if found else "not_found"
                answer |= {"code": code, "reason": f"{len(found)} records have this key"}
            elif each["key"] in self.crm.rejects:
                answer |= {"reason": self.crm.rejects[each["key"]]}
            else:
                self.crm.write(each["key"], found, each["fields"])
                self.taken.add(each["key"])
                answer = {"key": each["key"], "status": "ok"}
            results.append(answer)
        return (200, {"results": results}) if self.crm.answers_by_record else (204, None)

    # -- answers -------------------------------------------------------------------------------
    def _send(self, status: int, content: Any, headers: dict[str, str]) -> None:
        """An answer: JSON, XML for a text, nothing for None."""
        if isinstance(content, str):
            self._send_bytes(status, content.encode(), "text/xml", headers)
        elif content is None:
            self._send_bytes(status, b"", "", headers)
        else:
            self._send_bytes(status, json.dumps(content).encode(), "application/json", headers)

    def _send_bytes(
        self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        """Bytes with their headers."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _error(code: str, message: str) -> dict[str, Any]:
    """What `composite/sobjects` says about a record that was not updated."""
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}
