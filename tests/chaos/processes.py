"""Processes as /proc shows them: parents, groups, environment; and signals to them."""

import os
import signal
from pathlib import Path

from forecasting.runtime.processes import ProcessGroup


def has_ended(process: ProcessGroup) -> bool:
    """Whether the command itself has ended."""
    return process.ended() is not None


def is_dead(pid: int) -> bool:
    """Whether the process has ended; a zombie counts as ended."""
    return group_of(pid) == 0


def is_gone(group: int) -> bool:
    """Whether no process of the process group lives."""
    return not members(group)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Sends the signal; ignores a process that has already ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    """The process's children and their descendants, in the order of their start."""
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in sorted(children) for each in (child, *descendants(child))]


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    return [pid for entry in Path("/proc").iterdir() if entry.name.isdigit() and group_of(pid := int(entry.name)) == group]


def variable(pid: int, name: str) -> str:
    """A variable of the process's environment."""
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((pair.partition("=")[2] for pair in pairs if pair.startswith(f"{name}=")), "")


def group_of(pid: int) -> int:
    """Its process group; 0 if it has ended or is a zombie."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return 0
    return 0 if state == "Z" else int(group)
