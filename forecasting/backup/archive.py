"""The archive of a backup: a ZIP file with the dump of the database, model files, and a manifest with the hash of each."""

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from forecasting.pipeline.serving.verified import flush_folder

FORMAT = 1  # a release that changes what is written raises it
MANIFEST, DUMP = "manifest.json", "database.dump"
MODEL_FILE = re.compile(r"models/([\w-][\w.-]*)/([\w-][\w.-]*)", re.ASCII)  # folder of a version, and name
CHUNK = 2**20  # bytes

# What reading a damaged archive may raise: the library trusts the positions, flags and methods that it finds.
DAMAGE = (BadZipFile, zlib.error, struct.error, OSError, EOFError, KeyError, TypeError, ValueError, OverflowError, RuntimeError)


class BackupError(Exception):
    """A backup cannot be made or restored; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Hash and size of a file in the archive."""

    sha256: str  # hexadecimal
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds, and where it comes from."""

    made_at: str  # ISO 8601, UTC
    release: str
    migrations: list[str]  # applied ones, as app.name
    postgres: int  # major version of the program that dumped: an older server cannot read the dump
    rows: dict[str, int]  # of some tables, for people
    left_out: list[str] = field(default_factory=list)  # model files that were missing or damaged
    files: dict[str, Entry] = field(default_factory=dict)  # by name in the archive, without the manifest
    format: int = FORMAT

    @property
    def model_files(self) -> dict[str, Entry]:
        """Its model files, by their path below the parent of the models' folder."""
        return {name: entry for name, entry in self.files.items() if name != DUMP}

    @property
    def size(self) -> int:
        """Bytes of all its files, uncompressed."""
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> str:
        """The content of manifest.json."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Raises KeyError, TypeError or ValueError if it is none, and BackupError if it is of a later release."""
        values: dict[str, Any] = json.loads(text)
        if values["format"] != FORMAT:
            raise BackupError(
                f"It has format {values['format']}; this release reads format {FORMAT}. Use the release that made it."
            )
        files = {name: Entry(**entry) for name, entry in values.pop("files").items()}
        if strange := [name for name in files if name != DUMP and not MODEL_FILE.fullmatch(name)]:
            raise ValueError(f"{strange[0]!r} is no name of a model file")
        return cls(files=files, **values)


@contextmanager
def new_archive(path: Path) -> Iterator[ZipFile]:
    """A new archive, readable by its owner only. It is at `path` once the block has ended and its bytes are on the disk.

    After an error nothing remains. Raises BackupError if `path` exists or its folder does not, or the disk refuses.
    """
    if path.exists():
        raise BackupError(f"{path} exists already: choose another name.")
    scratch = path.with_name(f".{path.name}.unfinished")
    try:
        scratch.unlink(missing_ok=True)  # of a backup that was killed
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)  # it will hold hashes of passwords
        with os.fdopen(descriptor, "wb") as file:
            with ZipFile(file, "w") as archive:
                yield archive
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
        flush_folder(path.parent)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        scratch.unlink(missing_ok=True)


def add(archive: ZipFile, name: str, chunks: Iterable[bytes], *, compress: bool) -> Entry:
    """Writes a file into a new archive."""
    digest, size = hashlib.sha256(), 0
    member = ZipInfo(name)
    member.compress_type = ZIP_DEFLATED if compress else ZIP_STORED
    with archive.open(member, "w", force_zip64=True) as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return Entry(digest.hexdigest(), size)


def verified(path: Path) -> Manifest:
    """The manifest of an archive of which every byte is as it was written. Raises BackupError."""
    if not path.is_file():
        raise BackupError(f"{path} is no file.")
    try:
        with ZipFile(path) as archive:
            return _verified(archive)
    except DAMAGE as error:
        raise BackupError(f"{path} is damaged, or no backup of this service: {error}.") from error


def _verified(archive: ZipFile) -> Manifest:
    """Raises one of DAMAGE, or BackupError for a manifest of a later release."""
    manifest = Manifest.from_json(archive.read(MANIFEST))
    if difference := {*archive.namelist()} ^ {MANIFEST, *manifest.files}:
        raise ValueError(f"it does not hold what its manifest lists ({min(difference)})")
    for name, entry in manifest.files.items():
        if _entry_of(archive, name) != entry:
            raise ValueError(f"{name} is not as it was written")
    return manifest


def _entry_of(archive: ZipFile, name: str) -> Entry:
    """Hash and size of what the archive really holds."""
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Entry(digest.hexdigest(), size)
