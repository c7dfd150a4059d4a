"""Where one embedded Postgres keeps its files."""

import hashlib
import os
import pwd
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stockpred.embedded_postgres.permissions import blocked_at, claim, create_parents, safe_in_shell, server_account

PORT = 5432  # only part of the socket's name: the server never listens on TCP
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 on Linux and 103 on macOS


@dataclass(frozen=True, slots=True)
class Folders:
    """The folder of everything, the folder of the socket, and the account that the server runs under."""

    root: Path
    socket: Path
    account: pwd.struct_passwd

    @classmethod
    def at(cls, folder: Path) -> Self:
        """All in `folder` if possible. The same for every process of this user, whatever its environment.

        Raises KeyError if there is no account that a server could run under.
        """
        folder, account = folder.resolve(), server_account()
        private = _private_folder(folder)
        root = _root(folder, private, account)
        return cls(root=root, socket=_socket_folder(root, private), account=account)

    @property
    def data(self) -> Path:
        """Postgres' own data folder."""
        return self.root / "data"

    @property
    def unfinished_data(self) -> Path:
        """The data folder while `initdb` is at work."""
        return self.root / "data-unfinished"

    @property
    def log(self) -> Path:
        """What the server said since its last start."""
        return self.root / "server.log"

    @property
    def previous_log(self) -> Path:
        """What the server said before that."""
        return self.root / "server.log.1"

    @property
    def start_lock(self) -> Path:
        """Held by whoever starts, stops or deletes the server."""
        return self.root / "start.lock"

    @property
    def alive_lock(self) -> Path:
        """Held by every process of the server."""
        return self.root / "alive.lock"

    def claim(self) -> None:
        """Make the folders. Raises PermissionError if something that is not ours is in their place."""
        us = pwd.getpwuid(os.geteuid())
        create_parents(self.root)
        for folder in (self.root, self.socket.parent):
            claim(folder, owner=us, mode=0o700 if us.pw_uid == self.account.pw_uid else 0o711)
        claim(self.socket, owner=self.account, mode=0o700)

    def delete(self) -> None:
        """Delete what was made here, and nothing else; the server must have ended, the start lock be held."""
        for folder in (self.data, self.unfinished_data, self.socket, *self.root.glob("binaries-*")):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (self.log, self.previous_log, self.alive_lock, self.start_lock):
            file.unlink(missing_ok=True)
        for folder in {self.root, self.socket.parent}:
            with suppress(OSError):  # what is still in there is not ours
                folder.rmdir()


def _private_folder(folder: Path) -> Path:
    """What stands in for `folder` where that cannot be used: its path is short, and open to every account."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    lasting = Path("/var/lib")
    # Not tempfile.gettempdir(): TMPDIR differs between a shell and a service, and both must find the same socket.
    parent = lasting if os.access(lasting, os.W_OK) else Path("/tmp")  # noqa: S108
    return parent / f"stockpred-{digest}"


def _root(local: Path, private: Path, account: pwd.struct_passwd) -> Path:
    """`local`, or `private` if the server's account may not go to `local`, or copied programs could not be started there.

    Where data exist already they win: a later change of modes on the way must not start with an empty database.
    """
    if (local / "data").exists():
        return local
    if not safe_in_shell(local):
        return private
    if account.pw_uid == os.geteuid():
        return local
    return private if (private / "data").exists() or blocked_at(local, account) else local


def _socket_folder(root: Path, private: Path) -> Path:
    """A folder in `root`, or in `private` where that cannot be a socket's address."""
    socket = root / "socket"
    fits = len(os.fsencode(socket / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH
    # libpq and the server both take a comma for the end of one folder and the start of the next.
    return socket if fits and "," not in str(socket) else private / "socket"
