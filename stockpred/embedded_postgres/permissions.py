"""The account of the server, its permissions, and the ownership of folders."""

import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

UNPRIVILEGED_ID = 543  # user and group id, the same on every machine, so that a data volume fits each of them
UNPRIVILEGED = (
    *("stockpred-db", "x", UNPRIVILEGED_ID, UNPRIVILEGED_ID),
    *("Embedded Postgres of stockpred", "/nonexistent", "/usr/sbin/nologin"),
)  # no struct_passwd: Python 3.11 complains about one in a module when it ends
EARLIER = "nobody"  # the account of root's server in earlier releases


def server_account() -> pwd.struct_passwd:
    """The account of the server: our own, or one that has nothing else if we are root, because Postgres refuses to run as root.

    That account may not exist yet, see `create_account`. Raises KeyError if our own is not in the user database, because Postgres
    would not start either.
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with suppress(KeyError):
        return pwd.getpwnam(str(UNPRIVILEGED[0]))
    return pwd.struct_passwd(UNPRIVILEGED)


def create_account(account: pwd.struct_passwd) -> None:
    """Make the account if it does not exist, which Postgres demands. Raises OSError or CalledProcessError."""
    if _exists(account):
        return
    name, number = account.pw_name, str(account.pw_uid)
    options = ["--comment", account.pw_gecos, "--home-dir", account.pw_dir, "--shell", account.pw_shell, "--no-create-home"]
    try:
        if shutil.which("useradd"):
            _run("groupadd", "--system", "--gid", number, name)
            _run("useradd", "--system", "--uid", number, "--gid", number, *options, name)
        else:
            _append("/etc/group", f"{name}:x:{number}:")
            _append("/etc/passwd", ":".join(map(str, account)))
    except subprocess.CalledProcessError as error:
        if not _exists(account):  # otherwise another process was faster
            raise OSError(f"the account {name} with the user id {number} cannot be made: {error.stderr.strip()}") from error


def earlier_user() -> int | None:
    """The user id of root's server in earlier releases; None if we are not root."""
    with suppress(KeyError):
        return pwd.getpwnam(EARLIER).pw_uid if os.geteuid() == 0 else None
    return None


def _exists(account: pwd.struct_passwd) -> bool:
    with suppress(KeyError):
        return pwd.getpwnam(account.pw_name).pw_uid == account.pw_uid
    return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _append(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


def blocked_at(path: Path, account: pwd.struct_passwd) -> Path | None:
    """The first parent folder of `path` that `account` cannot enter; None if it can enter all."""
    on_the_way = [parent for parent in reversed(path.parents) if parent.exists()]
    return next((parent for parent in on_the_way if not has_permission(parent, account, stat.S_IXOTH)), None)


def has_permission(path: Path, account: pwd.struct_passwd, wanted: int) -> bool:
    """Whether `account` has all of these permissions on `path`, given as the bits for others (`stat.S_IROTH`)."""
    found = path.stat()
    if found.st_uid == account.pw_uid:
        wanted <<= 6
    elif found.st_gid == account.pw_gid:
        wanted <<= 3
    return found.st_mode & wanted == wanted


def create_parents(folder: Path) -> None:
    """Make the missing parents of `folder`, accessible to the server's account under any umask."""
    for parent in reversed(folder.parents):
        if not parent.exists():
            with suppress(FileExistsError):  # another process was faster
                parent.mkdir()
                parent.chmod(0o755)


def claim(folder: Path, *, owner: pwd.struct_passwd, mode: int) -> None:
    """Make `folder` with this owner and mode, or accept it if we or that owner made it.

    Raises PermissionError for a symbolic link, a file, or a folder of another user. In a folder writable by all, another user
    could place one to read our data.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner.pw_uid}:
        raise PermissionError(f"{folder} is not a folder of this user: check what it is, and remove it")
    if found.st_uid != owner.pw_uid:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    if stat.S_IMODE(found.st_mode) != mode:
        folder.chmod(mode)


def safe_in_shell(path: Path) -> bool:
    """Whether `path` is safe in double quotes, because `initdb` starts `postgres` through a shell with such quotes."""
    return not set(str(path)) & set('"$`\\\n')
