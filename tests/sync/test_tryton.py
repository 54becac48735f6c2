"""End to end: a published copy, `customer-health sync`, and a real Tryton CRM.

The test makes an environment of its own from requirements-tryton.lock, or takes that of TRYTON_VENV
(`make test-sync` keeps one). In it runs Tryton with its party and sale opportunity modules and the
small module of tests/sync/tryton_module, on SQLite. Parties are made and read back over Tryton's
own JSON-RPC interface; what writes to them is our signed webhook and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from small_marts import ENVIRONMENT as PROCESS_ENVIRONMENT
from sync_world import World, account

PROJECT_DIR = Path(__file__).resolve().parents[2]
LOCK = PROJECT_DIR / "requirements-tryton.lock"
MODULE = Path(__file__).with_name("tryton_module")
SIGNING = PROJECT_DIR / "customer_health" / "sync" / "signing.py"
PASSWORD = "tryton-admin-password-1"
SECRET = "shared-webhook-secret-never-shown"
DATABASE = "crm"
FIELDS = {
    "score": "health_score",
    "band": "band",
    "next_action": "next_action",
    "due": "next_action_due_date",
    "link": "https://dash.example.com/?account={account_id}",
    "publication": "publication_id",
}
COLUMNS = (
    "code", "name", "health_score", "health_band", "health_next_action", "health_due_date",
    "health_link", "health_publication", "write_date",
)  # fmt: skip
KEYS = [f"C{number:04d}" for number in range(60)]
TWICE = "C-TWICE"  # the code of one party and an identifier of another


class Tryton:
    """A Tryton server on this machine, and its JSON-RPC interface."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.bin = python.parent
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/{DATABASE}"
        self.config = folder / "trytond.conf"
        self.config.write_text(
            f"[database]\nuri = sqlite://\npath = {folder}\n"
            f"[web]\nlisten = 127.0.0.1:{self.port}\n"
            f"[customer_health]\nsecret = {SECRET}\n",
            encoding="utf-8",
        )
        self.process: subprocess.Popen[bytes] | None = None
        self._session = ""

    def create(self) -> None:
        """A database with the modules."""
        (self.folder / f"{DATABASE}.sqlite").touch()
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        subprocess.run(
            [
                self.bin / "trytond-admin", "-c", self.config, "-d", DATABASE,
                "-u", "sale_opportunity", "customer_health", "--activate-dependencies",
                "--email", "admin@example.com",
            ],
            env={**os.environ, "TRYTONPASSFILE": str(password)},
            check=True,
            capture_output=True,
        )  # fmt: skip

    def start(self) -> None:
        """Answer until `stop`."""
        with (self.folder / "trytond.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "trytond", "-c", self.config, "-d", DATABASE], stdout=log, stderr=log
            )
        give_up_at = time.monotonic() + 60
        while True:
            try:
                requests.post(f"http://127.0.0.1:{self.port}/rpc/", timeout=1)
                break
            except requests.RequestException:
                log_text = (self.folder / "trytond.log").read_text(errors="replace")
                assert self.process.poll() is None, log_text
                assert time.monotonic() < give_up_at, log_text
                time.sleep(0.1)
        user, session, *_ = self.rpc("common.db.login", "admin", {"password": PASSWORD})
        token = base64.b64encode(f"admin:{user}:{session}".encode()).decode()
        self._session = f"Session {token}"

    def stop(self) -> None:
        """End the server's process, this one and no other."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def rpc(self, method: str, *params: Any) -> Any:
        """A call of Tryton's JSON-RPC interface."""
        response = requests.post(
            f"{self.url}/rpc/",
            json={"id": 1, "method": method, "params": list(params)},
            headers={"Authorization": self._session} if self._session else {},
            timeout=60,
        )
        answer = response.json()
        assert response.status_code == 200 and "error" not in answer, answer
        return answer["result"]

    def model(self, name: str, method: str, *params: Any) -> Any:
        """A method of a model."""
        return self.rpc(f"model.{name}.{method}", *params, {})

    def parties(self) -> dict[str, dict[str, Any]]:
        """All parties by code, as Tryton has them."""
        found = self.model("party.party", "search_read", [], 0, None, None, list(COLUMNS))
        return {row["code"]: row for row in found}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with Tryton and our module."""
    folder = Path(os.environ.get("TRYTON_VENV") or tmp_path_factory.mktemp("tryton") / "venv")
    found = folder.absolute() / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        uv = Path(sys.executable).with_name("uv")
        install = [str(uv), "pip", "install", "--quiet", "--python", str(found)]
        if not uv.exists():
            install = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", LOCK], check=True)
    modules = subprocess.run(
        [found, "-c", "import trytond.modules; print(trytond.modules.__path__[0])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    target = Path(modules) / "customer_health"
    shutil.copytree(MODULE, target, dirs_exist_ok=True)
    # what docs/sync.md tells receivers to do
    shutil.copy2(SIGNING, target / "signing.py")
    return found


@pytest.fixture(scope="module")
def tryton(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tryton]:
    server = Tryton(python, tmp_path_factory.mktemp("database"))
    server.create()
    server.start()
    try:
        server.model(
            "party.party", "create",
            [
                *({"name": f"Account {key}", "code": key} for key in KEYS),
                {"name": "Łódź Foods 🦊", "code": TWICE},
                {"name": "Other", "code": "OTHER",
                 "identifiers": [["create", [{"type": None, "code": TWICE}]]]},
            ],
        )  # fmt: skip
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def token(tryton: Tryton) -> str:
    """The key of a user application, as a Tryton administrator makes one."""
    made = tryton.model(
        "res.user.application", "create", [{"user": 1, "application": "customer_health"}]
    )
    return str(tryton.model("res.user.application", "read", made, ["key"])[0]["key"])


@pytest.fixture(scope="module")
def world(tryton: Tryton, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"))
    world.configure(
        "tryton",
        type="webhook",
        url=f"{tryton.url}/r/customer_health/records/",
        secret_env="TRYTON_SECRET",
        token_env="TRYTON_TOKEN",
        fields=FIELDS,
        batch_size=25,
        limits={"tries": 2, "backoff_seconds": 0.1, "attempts": 3},
    )
    return world


def sync(
    world: World, token: str, *options: str, code: int = 0, secret: str = SECRET
) -> dict[str, Any]:
    """`customer-health sync tryton --json` as a process of its own."""
    settings = world.settings
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    done = subprocess.run(
        [sys.executable, "-m", "customer_health", *where, "sync", "tryton", *options, "--json"],
        env={**PROCESS_ENVIRONMENT, "TRYTON_SECRET": secret, "TRYTON_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert token not in done.stdout + done.stderr and secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def as_party(row: dict[str, Any], publication: str) -> dict[str, Any]:
    """What the party of an account should hold, in the words of JSON-RPC."""
    due = row["next_action_due_date"]
    return {
        "health_score": row["health_score"],
        "health_band": row["band"],
        "health_next_action": row["next_action"],
        "health_due_date": due
        and {"__class__": "date", "year": due.year, "month": due.month, "day": due.day},
        "health_link": f"https://dash.example.com/?account={row['account_id']}",
        "health_publication": publication,
    }


def health_of(party: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in party.items() if name.startswith("health_")}


def test_a_real_crm_follows_the_publications(tryton: Tryton, world: World, token: str) -> None:
    count = tryton.model("party.party", "search_count", [])
    assert count == len(KEYS) + 2
    bands = ("critical", "at_risk", "healthy", "thriving", "insufficient_data")
    rows = {
        key: account(
            key,
            health_score=None if number % 5 == 4 else number,
            band=bands[number % 5],
            next_action=None if number % 7 == 0 else f"Call Müller & “{key}” <now>",
            next_action_due_date=None if number % 7 == 0 else date(2026, 7, 1 + number % 20),
        )
        for number, key in enumerate(KEYS)
    }
    odd = KEYS[11]
    rows[odd]["band"] = "unheard_of"

    first = world.publish([*rows.values(), account(TWICE), account("NOWHERE")])
    result = sync(world, token)
    assert result["confirmed"] == len(KEYS) - 1
    (selection,) = [each for each in result["rejected"] if "Health Band" in each]
    assert "unheard_of" in selection, "in Tryton's own words"
    assert result["rejected"] == {
        "no party has this code": 1, "2 parties have this code": 1, selection: 1
    }  # fmt: skip
    assert tryton.model("party.party", "search_count", []) == count
    parties = tryton.parties()
    for key in KEYS:
        expected = as_party(rows[key], first) if key != odd else None
        assert health_of(parties[key]) == (expected or dict.fromkeys(health_of(parties[key])))
        assert parties[key]["name"] == f"Account {key}"
    for key in (TWICE, "OTHER"):
        assert set(health_of(parties[key]).values()) == {None}

    # the next day: one left, some changed, the odd one is mended, the rest is as it was
    gone = KEYS[20]
    changed = KEYS[30:35]
    for key in changed:
        rows[key] |= {"health_score": 99, "next_action": "Celebrate"}
    rows[odd]["band"] = "at_risk"
    del rows[gone]
    second = world.publish([*rows.values(), account(TWICE), account("NOWHERE")])
    result = sync(world, token)
    assert result["plan"]["cleared"] == 1 and result["plan"]["changed"] == len(changed)
    assert result["confirmed"] == len(changed) + 2
    before, parties = parties, tryton.parties()
    for key in KEYS:
        found = health_of(parties[key])
        if key == gone:
            assert found.pop("health_publication") == second
            assert set(found.values()) == {None}
        elif key in (odd, *changed):
            assert found == as_party(rows[key], second)
        else:
            assert found == as_party(rows[key], first)
            assert parties[key]["write_date"] == before[key]["write_date"], "not touched again"
    assert tryton.model("party.party", "search_count", []) == count

    # rejected a third time, the two are dead letters; then there is nothing to do
    assert sync(world, token)["dead_letters"] == 2
    quiet = sync(world, token)
    assert (quiet["plan"]["to_send"], quiet["requests"]) == (0, 0)


def test_a_wrong_signature_or_key_is_refused_by_the_crm(
    tryton: Tryton, world: World, token: str
) -> None:
    world.publish([account(key, health_score=1) for key in KEYS])
    before = tryton.parties()
    for wrong in ({"secret": "another-secret"}, {"token": "0" * 128}):
        given = {"token": token, "secret": SECRET} | wrong
        refusal = sync(world, given["token"], "--accept-changes", code=1, secret=given["secret"])
        assert "refuses the access (401" in refusal["error"]
        assert "TRYTON_SECRET and the token of TRYTON_TOKEN?" in refusal["error"]
    assert tryton.parties() == before


def test_a_crm_that_is_down_is_caught_up_with(tryton: Tryton, world: World, token: str) -> None:
    name = world.publish([account(key, health_score=42) for key in KEYS])
    tryton.stop()
    refusal = sync(world, token, "--accept-changes", code=1)
    assert "cannot be reached" in refusal["error"]
    assert refusal["confirmed"] == 0
    tryton.start()
    result = sync(world, token)
    assert result["confirmed"] == len(KEYS), "what was accepted for this publication still is"
    parties = tryton.parties()
    for key in KEYS:
        row = account(key, health_score=42)
        assert health_of(parties[key]) == as_party(row, name)
