"""Takes the pictures of docs/dashboards.md: `python docs/update_dashboards.py [--home HOME]`.

Serves a published demo (made in an empty folder without --home), opens each page in Chromium and
writes docs/images/*.png with few colours, so that they stay small. CHROMIUM names the browser.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from customer_health.dashboard.portfolio import Filters, read_attention
from customer_health.settings import Settings
from customer_health.warehouses import warehouse_of

PROJECT_DIR = Path(__file__).resolve().parents[1]
IMAGES = PROJECT_DIR / "docs" / "images"
COMMAND = str(Path(sys.executable).with_name("customer-health"))
COLOURS = 128
WIDTH, HEIGHT = 1366, 1000
# Name of the picture, address, and what a picture of an empty page would lack.
PAGES = (
    ("portfolio", "", "Who needs attention today"),
    ("account", "account?account={account}", "How the points add up"),
    ("actions", "actions", "What to do next"),
    ("prediction", "prediction", "Retention by band"),
    ("what-if", "what-if?{idea}", "Would it have predicted better?"),
    ("data-quality", "data-quality", "Checks of this publication"),
)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="home with a published demo")
    home = parser.parse_args().home
    with tempfile.TemporaryDirectory() as folder:
        if home is None:
            home = Path(folder)
            subprocess.run([COMMAND, "--home", str(home), "demo"], cwd=PROJECT_DIR, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [COMMAND, "--home", str(home), "dashboard", "--no-open", "--port", str(port)],
            cwd=PROJECT_DIR,
        )
        try:
            take(f"http://127.0.0.1:{port}", home)
        finally:
            server.terminate()
            server.wait()


def take(url: str, home: Path) -> None:
    """Open each page and keep a picture of its first screen."""
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    names = {"account": riskiest(home), "idea": ""}
    IMAGES.mkdir(exist_ok=True)
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, address, shows in PAGES:
            page.goto(f"{url}/{address.format(**names)}")
            page.get_by_role("heading", name=shows).wait_for(timeout=60_000)
            page.wait_for_timeout(2000)
            picture = Image.open(io.BytesIO(page.screenshot()))
            few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(IMAGES / f"{name}.png", optimize=True)
            print(f"{name}.png {(IMAGES / f'{name}.png').stat().st_size / 1000:.0f} kB")
        chromium.close()


def riskiest(home: Path) -> str:
    """The account that the portfolio names first."""
    with warehouse_of(Settings.resolve(PROJECT_DIR, home)).reader() as reader:
        return str(read_attention(reader, Filters(), rows=1)[0]["account_id"])


if __name__ == "__main__":
    main()
