"""The archive: what comes out is what went in, or an error."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

import pytest

from forecasting.backup.archive import DUMP, MANIFEST, BackupError, Manifest, add, new_archive, verified

MODEL = "models/7-0a1b/model.onnx"
CONTENT = {DUMP: b"rows " * 1000, MODEL: b"weights " * 1000}


def manifest(**values: object) -> Manifest:
    defaults: dict[str, object] = {"made_at": "2026-11-27T03:00:00+00:00", "release": "1", "migrations": ["a.1"], "postgres": 18}
    return Manifest(**(defaults | {"rows": {"forecasts": 3}} | values))  # type: ignore[arg-type]


def write(path: Path, content: dict[str, bytes] = CONTENT, **values: object) -> Path:
    """An archive of this content."""
    with new_archive(path) as archive:
        files = {name: add(archive, name, [data], compress=name != DUMP) for name, data in content.items()}
        archive.writestr(MANIFEST, manifest(files=files, **values).to_json())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "one.backup")


def test_an_archive_that_nobody_touched_is_as_it_was_written(path: Path) -> None:
    found = verified(path)
    assert {*found.files} == {DUMP, MODEL}
    assert found.rows == {"forecasts": 3}
    with ZipFile(path) as archive:
        assert {name: archive.read(name) for name in found.files} == CONTENT


def test_others_cannot_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_changed_byte_is_noticed_unless_it_changes_nothing(path: Path) -> None:
    original, expected = path.read_bytes(), verified(path)
    for position in range(0, len(original), 7):
        path.write_bytes(original[:position] + bytes([original[position] ^ 0x10]) + original[position + 1 :])
        with suppress(BackupError):
            assert verified(path) == expected, position  # the byte was a date, or another field that nobody reads
            with ZipFile(path) as archive:
                assert {name: archive.read(name) for name in CONTENT} == CONTENT


def test_an_archive_that_was_cut_off_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BackupError, match="damaged"):
            verified(path)


def test_a_file_that_the_manifest_does_not_list_is_noticed(path: Path) -> None:
    with ZipFile(path, "a") as archive:
        archive.writestr("models/8-0a1b/model.onnx", b"another one")
    with pytest.raises(BackupError, match=r"it does not hold what its manifest lists \(models/8-0a1b/model.onnx\)"):
        verified(path)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "models/../x", "models/a/../x", "models/a", "models/.a/b", "models/a/b\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackupError, match="no name of a model file"):
        verified(write(tmp_path / "bad.backup", {DUMP: b"", name: b""}))


def test_the_format_of_a_later_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="It has format 2; this release reads format 1"):
        verified(write(tmp_path / "later.backup", format=2))


def test_an_existing_file_is_not_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        write(path)
    assert path.read_bytes() == before


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"rows"
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"), new_archive(tmp_path / "one.backup") as archive:
        add(archive, DUMP, failing(), compress=False)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"nowhere/one.backup cannot be written: No such file"):
        write(tmp_path / "nowhere" / "one.backup")
