"""`manage.py web`: its processes share the port, are replaced if they die, and restart without a lost request."""

import http.client
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecasting.runtime.processes import ProcessGroup, wait_for
from tests.chaos.processes import variable
from tests.running import process_ids, started
from tests.test_commands import finish, start

pytestmark = pytest.mark.django_db(transaction=True)


class Web:
    """A running web server."""

    def __init__(self, group: ProcessGroup, folder: Path, port: int) -> None:
        self.group, self._folder, self.port = group, folder, port

    def status(self) -> int:
        """The status of one request on a connection of its own."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            client.request("GET", "/health")
            return client.getresponse().status
        finally:
            client.close()

    def answers(self) -> bool:
        try:
            return self.status() == http.client.OK
        except OSError:
            return False

    def processes(self) -> set[int]:
        return set(process_ids(self._folder, command="web_process"))

    def output(self) -> str:
        path = self._folder / "web.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started("web", tmp_path, PORT=str(port), ENV_FILE=str(tmp_path / ".env")) as group:
        web = Web(group, tmp_path, port)
        assert wait_for(lambda: "2 web server processes accept connections" in web.output(), seconds=60)
        yield web


class Load:
    """Requests without a pause, until the block ends; half of the clients keep their connection."""

    def __init__(self, port: int) -> None:
        self.answered, self.failures = 0, list[str]()
        self._port, self._stop = port, threading.Event()
        self._clients = [threading.Thread(target=self._run, args=[keep]) for keep in (True, True, False, False)]

    def __enter__(self) -> "Load":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _run(self, keep: bool) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            try:
                client.request("GET", "/health")
                response = client.getresponse()
                response.read()
                assert response.status == http.client.OK
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(repr(error))
            if not keep:
                client.close()
        client.close()


def test_a_restart_replaces_every_process_and_loses_no_request(web: Web) -> None:
    before = web.processes()
    with Load(web.port) as load:
        os.kill(web.group.pid, signal.SIGHUP)
        assert wait_for(lambda: len(web.processes()) == 2 and not before & web.processes(), seconds=120)
    assert load.answered > 0
    assert load.failures == []


def test_the_threads_of_a_process_share_one_arena_of_memory(web: Web) -> None:
    assert {variable(process, "MALLOC_ARENA_MAX") for process in web.processes()} == {"1"}


def test_a_restart_that_fails_leaves_the_old_processes_serving(web: Web, tmp_path: Path) -> None:
    before = web.processes()
    (tmp_path / ".env").write_text("SEED=abc\n")
    os.kill(web.group.pid, signal.SIGHUP)
    assert wait_for(lambda: "A web server process did not start" in web.output(), seconds=60)
    assert "SEED='abc' is invalid" in web.output()
    assert web.answers()
    assert wait_for(lambda: web.processes() == before, seconds=20)


def test_a_process_that_dies_is_replaced(web: Web) -> None:
    victim, survivor = web.processes()
    os.kill(victim, signal.SIGKILL)
    assert web.answers()
    assert wait_for(lambda: len(web.processes() - {victim}) == 2, seconds=60)
    assert survivor in web.processes()


def test_without_room_for_another_process_the_others_serve_until_there_is(web: Web) -> None:
    victim, survivor = web.processes()
    limits = resource.prlimit(web.group.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(web.group.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(victim, signal.SIGKILL)
    assert wait_for(lambda: "cannot be replaced: [Errno 24] Too many open files" in web.output(), seconds=60)
    assert web.answers()
    resource.prlimit(web.group.pid, resource.RLIMIT_NOFILE, limits)
    assert wait_for(lambda: len(web.processes() - {victim}) == 2, seconds=60)
    assert survivor in web.processes()


def test_each_process_answers_while_the_other_hangs(web: Web) -> None:
    for hung in web.processes():
        os.kill(hung, signal.SIGSTOP)
        try:
            assert web.answers()
        finally:
            os.kill(hung, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_status_0_and_leaves_no_process(web: Web, number: signal.Signals) -> None:
    os.kill(web.group.pid, number)
    assert wait_for(lambda: web.group.ended() is not None, seconds=60)
    assert web.group.ended() == 0
    assert web.processes() == set()


def test_its_processes_end_if_it_is_killed(web: Web) -> None:
    os.kill(web.group.pid, signal.SIGKILL)
    assert wait_for(lambda: web.processes() == set(), seconds=60)


def test_a_script_name_from_outside_is_no_part_of_a_route(web: Web) -> None:
    client = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    client.request("GET", "/health", headers={"SCRIPT_NAME": "/x", "Script-Name": "/x"})
    assert client.getresponse().status == http.client.OK
    client.close()


@pytest.mark.parametrize("command", ["web", "run"])
def test_a_port_that_is_no_number_is_one_line(command: str, tmp_path: Path) -> None:
    status, output, errors = finish(start(tmp_path, command, PORT="abc"))
    assert status == 1
    assert output == ""
    assert errors.splitlines() == ["PORT='abc' is invalid: expected a whole number from 1 to 65535."]


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, errors = finish(start(tmp_path, "web", PORT=str(port)))
    assert status == 1
    assert errors.splitlines() == [f"CommandError: PORT {port} on 127.0.0.1 cannot be used: Address already in use. Set PORT."]
