"""A loop notices that its process was suspended."""

import signal
import subprocess
import sys
import time

from forecasting.runtime.clock import Pace
from forecasting.runtime.processes import wait_for

LOOP = """
import time
from forecasting.runtime.clock import Pace
pace = Pace(longest_s=1.0)
print("runs", flush=True)
while not pace.was_suspended():
    time.sleep(0.05)
"""


def test_a_loop_that_looks_often_was_not_suspended() -> None:
    pace = Pace(longest_s=60)
    assert not pace.was_suspended()


def test_a_suspension_is_noticed_once() -> None:
    pace = Pace(longest_s=0.2)
    began = time.monotonic()
    assert wait_for(lambda: time.monotonic() - began > 0.3, seconds=5)
    assert pace.was_suspended()
    assert not pace.was_suspended()


def test_a_stopped_process_notices_it_when_it_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert wait_for(lambda: time.monotonic() - began > 2, seconds=10)
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 0
