"""Who may connect to the server, under which account it runs, and what becomes of data of earlier releases."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from stockpred.embedded_postgres.binaries import programs_for
from stockpred.embedded_postgres.locks import try_lock
from stockpred.embedded_postgres.permissions import EARLIER, UNPRIVILEGED
from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.embedded_postgres import children

UNSHARE = shutil.which("unshare") or "/bin/false"
MOUNTS = subprocess.run([UNSHARE, "--mount", "/bin/true"], capture_output=True, check=False).returncode == 0
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server is another user than its starter")

CONNECT = """
import os, sys
import psycopg
folder, user, role = sys.argv[1:]
os.setgroups([]), os.setgid(int(user)), os.setuid(int(user))
try:
    print(psycopg.connect(host=folder, user=role, dbname="stockpred").execute("SELECT current_user").fetchone()[0])
except psycopg.OperationalError as error:
    print(error)
"""
TRUST = "local all all trust\n"


def asked_by(user: int, server: EmbeddedPostgres, *, role: str = "postgres") -> str:
    """What a process of this user is told when it connects."""
    return children.run(CONNECT, server.socket, user, role)


@pytest.fixture
def open_socket(running: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server whose socket folder somebody has opened to all."""
    socket = running.socket / ".s.PGSQL.5432"
    running.socket.chmod(0o777)
    socket.chmod(0o777)
    yield running
    running.socket.chmod(0o700)
    socket.chmod(0o700)


@pytest.fixture
def earlier(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Data of an earlier release, which ran root's server as `nobody` and trusted everybody who reached the socket."""
    server = EmbeddedPostgres.at(folder / "postgres")
    server.ensure()
    with psycopg.connect(host=str(server.socket), user="postgres", dbname="stockpred") as connection:
        connection.execute("CREATE TABLE from_earlier (number integer)")
    server.stop()
    user = pwd.getpwnam(EARLIER)
    for path in (server.socket, server.folders.data, *server.folders.data.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    (server.folders.data / "pg_hba.conf").write_text(TRUST)
    yield server
    server.destroy()


def tables(server: EmbeddedPostgres) -> int:
    """Whether the earlier table is there."""
    with psycopg.connect(host=str(server.socket), user="postgres", dbname="stockpred") as connection:
        return connection.execute("SELECT FROM pg_tables WHERE tablename = 'from_earlier'").rowcount


@contextmanager
def run_by_earlier_release(server: EmbeddedPostgres) -> Iterator[None]:
    """The server runs as the earlier release left it."""
    user = pwd.getpwnam(EARLIER)
    postgres = programs_for(user, server.folders.root) / "postgres"
    command: list[str | Path] = [
        postgres,
        "-D",
        server.folders.data,
        "--listen_addresses=",
        f"--unix_socket_directories={server.socket}",
    ]
    with try_lock(server.folders.alive_lock) as alive:
        assert alive is not None
        process = subprocess.Popen(
            command, user=user.pw_uid, group=user.pw_gid, extra_groups=[], pass_fds=[alive], cwd="/", start_new_session=True
        )
    with process:
        yield


@only_root
def test_roots_server_runs_under_an_account_of_its_own(running: EmbeddedPostgres) -> None:
    pid = (running.folders.data / "postmaster.pid").read_text().split("\n")[0]
    assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("stockpred-db").pw_uid
    assert running.folders.account.pw_name == UNPRIVILEGED[0]


def test_we_connect_without_a_password(running: EmbeddedPostgres) -> None:
    assert tables(running) == 0


@only_root
def test_another_user_cannot_reach_the_socket(running: EmbeddedPostgres) -> None:
    assert "Permission denied" in asked_by(pwd.getpwnam(EARLIER).pw_uid, running)


@only_root
def test_another_user_who_reaches_the_socket_is_refused(open_socket: EmbeddedPostgres) -> None:
    assert "Peer authentication failed" in asked_by(pwd.getpwnam(EARLIER).pw_uid, open_socket)


@only_root
def test_we_connect_as_the_one_role_only(running: EmbeddedPostgres) -> None:
    assert asked_by(0, running) == "postgres"
    assert "Peer authentication failed" in asked_by(0, running, role="root")


@only_root
def test_data_of_an_earlier_release_are_taken_over(earlier: EmbeddedPostgres) -> None:
    earlier.ensure()
    assert tables(earlier) == 1
    owners = {path.lstat().st_uid for path in (earlier.socket, earlier.folders.data, *earlier.folders.data.rglob("*"))}
    assert owners == {earlier.folders.account.pw_uid}
    assert "trust" not in (earlier.folders.data / "pg_hba.conf").read_text()


@only_root
def test_a_server_that_an_earlier_release_left_running_is_replaced(earlier: EmbeddedPostgres) -> None:
    with run_by_earlier_release(earlier):
        earlier.ensure()
    assert tables(earlier) == 1


@only_root
def test_a_link_in_the_data_folder_leads_root_nowhere(earlier: EmbeddedPostgres, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    hba = earlier.folders.data / "pg_hba.conf"
    hba.unlink()
    hba.symlink_to(victim)
    earlier.ensure()
    assert victim.read_text() == "untouched"
    assert victim.stat().st_uid == 0


NEW_ACCOUNT = """
import pwd, sys
from stockpred.embedded_postgres import permissions
permissions.create_account(permissions.server_account())
permissions.create_account(permissions.server_account())
print(pwd.getpwnam("stockpred-db") == permissions.UNPRIVILEGED, permissions.server_account() == permissions.UNPRIVILEGED)
"""


@pytest.fixture
def own_etc(tmp_path: Path) -> str:
    """A command that gives its process an /etc of its own, without the account."""
    etc = tmp_path / "etc"
    shutil.copytree("/etc", etc, symlinks=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        lines = (etc / name).read_text().splitlines(keepends=True)
        (etc / name).write_text("".join(line for line in lines if not line.startswith("stockpred-db:")))
    return f"mount --bind {etc} /etc"


@only_root
@pytest.mark.skipif(not MOUNTS, reason="this machine lets nobody mount")
@pytest.mark.parametrize("path", ["/usr/sbin:/usr/bin", "/nowhere"], ids=["useradd", "without useradd"])
def test_the_account_is_made_once(own_etc: str, path: str) -> None:
    script = f'{own_etc} && PATH={path} "$@"'
    command = [UNSHARE, "--mount", "/bin/sh", "-c", script, "sh", sys.executable, "-c", NEW_ACCOUNT]
    finished = subprocess.run(command, cwd=children.REPOSITORY, capture_output=True, text=True, check=False)
    assert finished.stdout == "True True\n", finished.stderr
