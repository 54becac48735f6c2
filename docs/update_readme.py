"""Puts real output into README.md: `python docs/update_readme.py`.

Runs `customer-health demo` in an empty folder, then `explain` on the account that the demo names
and `validate`, and writes what they print between their markers, with the machine and the date of
the run.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
README = PROJECT_DIR / "README.md"


def customer_health(home: str, *arguments: str) -> str:
    """Run one command as a user would, and return what it prints."""
    command = [sys.executable, "-m", "customer_health", "--home", home, *arguments]
    done = subprocess.run(
        command,
        cwd=PROJECT_DIR,
        env=os.environ | {"COLUMNS": "118"},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def between(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers of a name."""
    pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL)


def main() -> None:
    """Run the demo and write README.md."""
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        demo = customer_health(home, "demo").replace(home, "warehouse")
        seconds = time.monotonic() - started
        found = re.search(r"explain (\S+)", demo)
        if found is None:
            raise SystemExit("the demo names no account to explain")
        explained = customer_health(home, "explain", found[1])
        validated = customer_health(home, "validate", "--no-rebuild")
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    caption = f"{date.today()}, {machine}: {seconds:.0f} s in all, the installation apart."
    text = README.read_text(encoding="utf-8")
    text = between(text, "demo", f"```text\n{demo}\n```\n\n{caption}")
    text = between(
        text, "explain", f"`customer-health explain {found[1]}`:\n\n```text\n{explained}\n```"
    )
    first_screen = validated[validated.index("╭") : validated.index("Warnings in time")].rstrip()
    text = between(text, "validate", f"```text\n{first_screen}\n```")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
