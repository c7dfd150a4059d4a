"""Process groups: all processes of a group stop, however the command ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from forecasting.runtime.processes import AUTOGROUP, ProcessGroup, wait_for

PYTHON = sys.executable
FOREVER = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
WITH_CHILD = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {FOREVER!r}]).pid, flush=True); {FOREVER}"
MODEST = """
from forecasting.runtime.processes import AUTOGROUP, yield_to_other_sessions
yield_to_other_sessions()
print(AUTOGROUP.read_text(), flush=True)
"""
FOLLOWER = """
from forecasting.runtime.processes import StopSignal
stop = StopSignal()
print("ready", flush=True)
while not stop.wait(0.1):
    pass
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text()


def printed(output: Path) -> str:
    assert wait_for(lambda: output.exists() and output.read_text().strip() != "", seconds=10)
    return output.read_text().strip()


def test_a_process_that_obeys_sigterm_is_not_killed(tmp_path: Path) -> None:
    group = ProcessGroup("obedient", [PYTHON, "-c", FOREVER], output=tmp_path / "out")
    group.stop(grace_s=10)
    assert group.ended() == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    group = ProcessGroup("stubborn", [PYTHON, "-c", STUBBORN], output=tmp_path / "out")
    assert printed(tmp_path / "out") == "ready"
    group.stop(grace_s=0.2)
    assert group.ended() == -signal.SIGKILL


def test_children_that_outlive_the_command_are_killed(tmp_path: Path) -> None:
    group = ProcessGroup("parent", [PYTHON, "-c", WITH_CHILD], output=tmp_path / "out")
    child = int(printed(tmp_path / "out"))
    os.kill(group.pid, signal.SIGKILL)
    assert wait_for(lambda: group.ended() is not None, seconds=5)
    group.stop(grace_s=0)
    assert wait_for(lambda: not is_alive(child), seconds=5)


def test_a_process_notices_that_its_parent_was_killed(tmp_path: Path) -> None:
    starter = f"""
from pathlib import Path
from forecasting.runtime.processes import ProcessGroup
import signal
ProcessGroup("follower", [{PYTHON!r}, "-c", {FOLLOWER!r}], output=Path({str(tmp_path / "follower")!r}))
signal.pause()
"""
    group = ProcessGroup("starter", [PYTHON, "-c", starter], output=tmp_path / "out")
    assert printed(tmp_path / "follower") == "ready"
    (follower,) = [int(each) for each in Path(f"/proc/{group.pid}/task/{group.pid}/children").read_text().split()]
    group.stop(grace_s=0)
    assert wait_for(lambda: not is_alive(follower), seconds=5)


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system has no autogroups")
def test_a_group_can_leave_the_cpu_to_others(tmp_path: Path) -> None:
    group = ProcessGroup("modest", [PYTHON, "-c", MODEST], output=tmp_path / "out")
    assert printed(tmp_path / "out").endswith("nice 10")
    group.stop(grace_s=5)
