"""Files with a recorded size and hash: written once, flushed to disk, and used only if they are unchanged."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Parsed = TypeVar("Parsed")


class ArtifactError(Exception):
    """A file of a version's folder cannot be used; the message names the file and the reason, but not the folder."""


class OutOfReachError(ArtifactError):
    """This machine cannot read a file now: it lacks permission, or a file system or bucket does not answer. Nothing is damaged."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """Recorded hash and size of a file."""

    sha256: str  # hexadecimal
    size: int  # bytes
    folder: str = ""  # beside the version's own folder, if another version holds the file

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; `folder` only if another version holds the file."""
        return {"sha256": self.sha256, "size": self.size} | ({"folder": self.folder} if self.folder else {})


def file_of(content: bytes) -> ArtifactFile:
    """Hash and size of a file with this content."""
    return ArtifactFile(hashlib.sha256(content).hexdigest(), len(content))


def verified(folder: Path, name: str, files: Mapping[str, ArtifactFile]) -> bytes:
    """The file's bytes, if size and hash match. Raises ArtifactError."""
    if name not in files:
        raise ArtifactError(f"No hash of {name} is recorded.")
    holder = folder.parent / files[name].folder if files[name].folder else folder
    content = read_bytes(holder / name, limit=files[name].size + 1)
    if len(content) != files[name].size:
        found = "more" if len(content) > files[name].size else f"only {len(content)}"
        raise ArtifactError(f"{name} should have {files[name].size} bytes but has {found}.")
    if hashlib.sha256(content).hexdigest() != files[name].sha256:
        raise ArtifactError(f"{name} has been changed: its SHA-256 is not the recorded one.")
    return content


def verified_json(folder: Path, name: str, files: Mapping[str, ArtifactFile], parse: Callable[[Any], Parsed]) -> Parsed:
    """What `parse` makes of the JSON in the file, if size and hash match. Raises ArtifactError, also if `parse` refuses it."""
    content = verified(folder, name, files)
    try:
        return parse(json.loads(content))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{name} is of another release: {error}") from error


def read_bytes(path: Path, *, limit: int) -> bytes:
    """The first `limit` bytes of the file. Raises ArtifactError if there is none, else OutOfReachError."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path.name} is missing.") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise ArtifactError(f"{path.name} is no file: {error.strerror}.") from error
    except OSError as error:
        raise OutOfReachError(f"{path.name} cannot be read: {error.strerror}.") from error


def write_durably(path: Path, content: bytes) -> None:
    """Writes a new file and flushes its bytes to disk. Raises OSError."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flushes the folder, so that the names of new files survive a power failure; fsync of a file covers only its bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
