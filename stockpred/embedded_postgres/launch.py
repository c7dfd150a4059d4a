"""Run the Postgres programs: create a data folder, and start a server that outlives this process."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stockpred.embedded_postgres.binaries import programs_for
from stockpred.embedded_postgres.folders import PORT, Folders
from stockpred.embedded_postgres.permissions import blocked_at

SUPERUSER = "postgres"  # the only role
ACCESS = "stockpred"  # name of the map from system accounts to that role

# For a small machine. Errors of statements go only to the client, not to the log.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "log_min_messages": "log",
    "log_checkpoints": "off",
}


def launch(folders: Folders, *, alive: int) -> None:
    """Start a server and return at once; the first call also creates its data.

    The caller must hold the start lock, and no process of an earlier server may be left. Every process of the new server
    inherits the descriptor `alive`. Raises OSError or CalledProcessError.
    """
    if blocked := blocked_at(folders.data, folders.account):
        raise PermissionError(f"the server runs as {folders.account.pw_name}, who cannot enter {blocked}")
    if folders.log.exists():
        folders.log.replace(folders.previous_log)
    programs = programs_for(folders.account, folders.root)
    with folders.log.open("wb") as log:
        run = _Runner(account=folders.account, log=log, alive=alive)
        if not folders.data.exists():
            _create_data(run, programs / "initdb", folders)
        _write_access(folders)
        _start(run, programs / "postgres", folders)


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs a command in a new session, without our terminal, pipes, secrets and PG* variables."""

    account: pwd.struct_passwd
    log: IO[bytes]
    alive: int

    def __call__(self, *command: str | Path) -> None:
        as_another = self.account.pw_uid != os.geteuid()
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            pass_fds=[self.alive],
            start_new_session=True,
            user=self.account.pw_uid if as_another else None,
            group=self.account.pw_gid if as_another else None,
            extra_groups=[] if as_another else None,
        )


def _create_data(run: _Runner, initdb: Path, folders: Folders) -> None:
    """Create the data folder atomically: a killed `initdb` leaves only `unfinished_data`."""
    scratch = folders.unfinished_data
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(mode=0o700)
    os.chown(scratch, folders.account.pw_uid, folders.account.pw_gid)
    # Postgres' builtin C.UTF-8 is the same on every machine, unlike that of the C library.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    access = [f"--username={SUPERUSER}", "--auth-local=peer", "--auth-host=reject"]
    run(initdb, "-D", scratch, *locale, *access, "--no-instructions")
    scratch.rename(folders.data)


def _write_access(folders: Folders) -> None:
    """Let only us and the server's account connect, as the system says who they are. Replaces the files of earlier releases."""
    names = {pwd.getpwuid(os.geteuid()).pw_name, folders.account.pw_name}
    users = "".join(f'{ACCESS} "{name}" {SUPERUSER}\n' for name in sorted(names))
    for name, content in {"pg_hba.conf": f"local all all peer map={ACCESS}\n", "pg_ident.conf": users}.items():
        path = folders.data / name
        path.unlink(missing_ok=True)
        with path.open("x") as file:  # never through a link, which the server's account could have placed for root
            os.fchmod(file.fileno(), 0o600)
            os.fchown(file.fileno(), folders.account.pw_uid, folders.account.pw_gid)
            file.write(content)


def _start(run: _Runner, postgres: Path, folders: Folders) -> None:
    # These files contain process ids. If another program or a zombie has such an id now, Postgres refuses to start.
    for leftover in (folders.data / "postmaster.pid", folders.socket / f".s.PGSQL.{PORT}.lock"):
        leftover.unlink(missing_ok=True)
    options = [f"--{name}={value}" for name, value in SETTINGS.items()]
    options.append(f"--unix_socket_directories={folders.socket}")
    # The shell exits at once, so init becomes the server's parent and no zombie remains.
    run("/bin/sh", "-c", '"$@" &', "sh", postgres, "-D", folders.data, *options)
