"""The folders and files of one embedded Postgres."""

import hashlib
import os
import pwd
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stockpred.embedded_postgres.permissions import blocked_at, claim, create_parents, earlier_user, safe_in_shell, server_account

PORT = 5432  # only part of the socket's file name; the server never listens on TCP
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 on Linux and 103 on macOS


@dataclass(frozen=True, slots=True)
class Folders:
    """The root folder, the socket folder, and the account of the server."""

    root: Path
    socket: Path
    account: pwd.struct_passwd

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Everything in `folder` if possible. The result is the same for all processes of this user, in any environment.

        Raises KeyError if no account can run the server.
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
        """The data folder while `initdb` runs."""
        return self.root / "data-unfinished"

    @property
    def log(self) -> Path:
        """The server's log since its last start."""
        return self.root / "server.log"

    @property
    def previous_log(self) -> Path:
        """The log of the previous run."""
        return self.root / "server.log.1"

    @property
    def start_lock(self) -> Path:
        """The lock of a process that starts, stops or deletes the server."""
        return self.root / "start.lock"

    @property
    def alive_lock(self) -> Path:
        """The lock that every process of the server holds."""
        return self.root / "alive.lock"

    def claim(self) -> None:
        """Make the folders. Raises PermissionError if a file or folder of another user is in their place."""
        us = pwd.getpwuid(os.geteuid())
        create_parents(self.root)
        for folder in (self.root, self.socket.parent):
            claim(folder, owner=us, mode=0o700 if us.pw_uid == self.account.pw_uid else 0o711)
        claim(self.socket, owner=self.account, mode=0o700)

    def of_earlier_account(self) -> bool:
        """Whether the data belong to the account that root's server had in earlier releases."""
        user = earlier_user()
        return (
            user not in {None, self.account.pw_uid}
            and self.data.exists()
            and (self.root.stat().st_uid, self.data.stat().st_uid) == (os.geteuid(), user)
        )

    def adopt(self) -> None:
        """Give data and socket folder of the earlier account to the present one. No server may run."""
        user = earlier_user()
        for top in (self.data, self.socket):
            for path in (top, *top.rglob("*")):
                if path.lstat().st_uid == user:
                    os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def delete(self) -> None:
        """Delete only our own files and folders. The server must have ended, and the caller must hold the start lock."""
        for folder in (self.data, self.unfinished_data, self.socket, *self.root.glob("binaries-*")):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (self.log, self.previous_log, self.alive_lock, self.start_lock):
            file.unlink(missing_ok=True)
        for folder in {self.root, self.socket.parent}:
            with suppress(OSError):  # not empty: the rest is not ours
                folder.rmdir()


def _private_folder(folder: Path) -> Path:
    """The replacement for an unusable `folder`: a short path that every account can reach."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    lasting = Path("/var/lib")
    # Not tempfile.gettempdir(): TMPDIR differs between a shell and a service, and both must find the same socket.
    parent = lasting if os.access(lasting, os.W_OK) else Path("/tmp")  # noqa: S108
    return parent / f"stockpred-{digest}"


def _root(local: Path, private: Path, account: pwd.struct_passwd) -> Path:
    """`local`, or `private` if the server's account cannot enter `local` or copied programs cannot run there.

    A folder with existing data always wins. Otherwise a later change of permissions would lead to an empty database.
    """
    if (local / "data").exists():
        return local
    if not safe_in_shell(local):
        return private
    if account.pw_uid == os.geteuid():
        return local
    return private if (private / "data").exists() or blocked_at(local, account) else local


def _socket_folder(root: Path, private: Path) -> Path:
    """A folder in `root`, or in `private` if the path in `root` cannot be a socket address."""
    socket = root / "socket"
    fits = len(os.fsencode(socket / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH
    # libpq and the server both treat a comma as a separator between folders.
    return socket if fits and "," not in str(socket) else private / "socket"
