"""A file system that is really full or really read-only, and too little memory.

The home lies on a file system of its own (tmpfs), mounted in a mount namespace that ends with the
command. Where the machine allows no mounts the tests are skipped.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_kit import (
    Done,
    assert_refused,
    command_line,
    copy_home,
    copy_project,
    environment,
    readers_have,
    run,
)

MIB = 1024 * 1024
# Mounts a tmpfs of $2 bytes on $1, copies the home $3 to it and fills it up to $4 free bytes; runs
# the rest; and brings back what readers have. Exit code 90 is a mount that was not allowed.
ON_SMALL_DISK = """
mount -t tmpfs -o size="$2" tmpfs "$1" || exit 90
cp -a "$3/." "$1/" || exit 91
free=$(( $(stat -f -c '%a * %S' "$1") ))
[ "$free" -le "$4" ] || head -c $(( free - $4 )) /dev/zero > "$1/ballast" || exit 92
target=$1; source=$3; shift 4
"$@"
code=$?
rm -f "$target/ballast"
for name in published.duckdb published.json; do cmp "$target/$name" "$source/$name" || exit 93; done
ls "$target" > "$source/left.txt"
exit $code
"""
READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 90
shift
"$@"
"""


def namespace() -> tuple[str, ...]:
    """The command that gives a command mounts of its own, as root or as somebody else."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        try:
            probe = subprocess.run(
                [*command, "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"],
                capture_output=True,
                check=False,
            )
        except OSError:
            break
        if probe.returncode == 0:
            return command
    pytest.skip("this machine allows no mounts (unshare -m)")


@pytest.fixture(scope="module")
def built(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home to copy to small disks, and a project that was read before."""
    folder = tmp_path_factory.mktemp("built")
    return copy_home(published_home, folder / "home"), copy_project(folder / "project")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder on which the small disk is mounted, for the command alone."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


def on_small_disk(home: Path, disk: Path, free: int, *arguments: str, project: Path) -> Done:
    """Run a command on a copy of the home on a disk with so many free bytes."""
    before = readers_have(home)
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) + free + 64 * MIB
    command = command_line(disk, *arguments, project=project)
    shell = ("sh", "-c", ON_SMALL_DISK, "sh", str(disk), str(size), str(home), str(free))
    ended = subprocess.run(
        [*namespace(), *shell, *command],
        env=environment(disk),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode < 90, ended.stdout + ended.stderr
    return Done(arguments, ended.returncode, ended.stdout, ended.stderr, before)


@pytest.mark.fault(49, says="free some space and run again (the published copy is as it was)")
@pytest.mark.parametrize(
    ("free", "command"),
    [
        pytest.param(0, "run", id="full-before-the-run"),
        pytest.param(1 * MIB, "run", id="full-in-the-build"),
        pytest.param(12 * MIB, "publish", id="full-when-the-copy-is-made"),
    ],
)
def test_a_full_disk_is_one_line_and_the_copy_is_as_it_was(
    free: int, command: str, built: tuple[Path, Path], disk: Path
) -> None:
    home, project = built
    done = on_small_disk(home, disk, free, command, project=project)
    assert_refused(done, home, says="no space left")
    left = (home / "left.txt").read_text().split()
    # a log beside a file that it does not belong to would make that file unopenable
    assert "published.duckdb.wal" not in left
    assert not [name for name in left if name.endswith(".published.tmp")]


@pytest.mark.fault(49, says="DuckDB ran out of memory")
def test_too_little_memory_is_one_line(home: Path) -> None:
    done = run(home, "run", env={"CUSTOMER_HEALTH_MEMORY_LIMIT": "20MB"})
    assert_refused(done, home, says="CUSTOMER_HEALTH_MEMORY_LIMIT")


@pytest.mark.fault(66, says="check its owner and permissions, or choose another folder")
def test_a_read_only_home_is_one_line(home: Path) -> None:
    prefix = (*namespace(), "sh", "-c", READ_ONLY, "sh", str(home))
    assert_refused(run(home, "run", prefix=prefix), home, says="not allowed to write")
