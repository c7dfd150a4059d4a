"""The life cycle of a server: started once by concurrent callers, found again, restarted after a crash, stopped on request."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from stockpred.embedded_postgres.locks import until
from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError
from tests.embedded_postgres import children

LOCALE = "SELECT datlocale, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"


def connect(server: EmbeddedPostgres, database: str = "stockpred", *, autocommit: bool = False) -> psycopg.Connection:
    return psycopg.connect(host=str(server.socket), user="postgres", dbname=database, autocommit=autocommit)


def query(server: EmbeddedPostgres, statement: LiteralString) -> list[tuple[Any, ...]]:
    with connect(server) as connection:
        return connection.execute(statement).fetchall()


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.folders.data / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture
def foreign_process(shared: EmbeddedPostgres) -> Iterator[int]:
    """The id of another process that runs under the server's account."""
    user = shared.folders.account.pw_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["/bin/sleep", "60"], user=user) as process:
        yield process.pid
        process.kill()


def test_to_name_a_server_starts_and_writes_nothing(new: EmbeddedPostgres) -> None:
    assert not new.is_running()
    assert not new.folders.root.exists()


def test_it_starts_when_it_is_needed(stopped: EmbeddedPostgres) -> None:
    stopped.ensure()
    assert query(stopped, "SELECT current_database()") == [("stockpred",)]


def test_it_attaches_at_once_to_a_server_that_runs(running: EmbeddedPostgres) -> None:
    started = time.perf_counter()
    running.ensure()
    assert time.perf_counter() - started < 0.5  # a few milliseconds on an idle machine


def test_it_starts_one_server_for_processes_that_ask_at_once(new: EmbeddedPostgres) -> None:
    starters = [children.start(children.ENSURE, new.folders.root) for _ in range(3)]
    for starter in starters:
        children.result(starter)
    assert "ready to accept connections" in new.folders.log.read_text()
    assert not new.folders.previous_log.exists()  # that would be a second start


def test_it_outlives_its_starter_and_holds_none_of_its_pipes(stopped: EmbeddedPostgres) -> None:
    children.run(children.ENSURE, stopped.folders.root)  # also waits for the end of the output
    assert stopped.is_running()


def test_ctrl_c_in_the_terminal_of_its_starter_does_not_reach_it(running: EmbeddedPostgres) -> None:
    assert os.getsid(postmaster(running)) != os.getsid(0)


def test_it_does_not_listen_on_tcp(running: EmbeddedPostgres) -> None:
    assert query(running, "SHOW listen_addresses") == [("",)]


def test_it_keeps_text_as_utf_8_and_compares_it_alike_everywhere(running: EmbeddedPostgres) -> None:
    assert query(running, LOCALE) == [("C.UTF-8", "UTF8")]


def test_it_does_not_trade_safety_for_speed(running: EmbeddedPostgres) -> None:
    settings = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'"
    assert query(running, settings) == []


def test_its_processes_do_not_see_our_secrets(stopped: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "our secret")
    stopped.ensure()
    with connect(stopped) as connection:
        connection.execute("CREATE TEMPORARY TABLE environment (variable text)")
        connection.execute("COPY environment FROM PROGRAM 'env'")
        variables = {str(row[0]) for row in connection.execute("SELECT split_part(variable, '=', 1) FROM environment")}
    assert "PATH" in variables
    assert "SECRET_KEY" not in variables


def test_the_variables_of_another_postgres_do_not_mislead_it(stopped: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGDATA": "/nowhere", "PGHOST": "db.example", "PGDATABASE": "other"}.items():
        monkeypatch.setenv(name, value)
    stopped.ensure()
    assert stopped.is_running()


def test_it_comes_back_after_kill_9_of_the_postmaster(running: EmbeddedPostgres) -> None:
    os.kill(postmaster(running), signal.SIGKILL)
    running.ensure()
    assert query(running, "SELECT 1") == [(1,)]


def test_it_comes_back_after_kill_9_of_the_postmaster_with_a_session_at_work(running: EmbeddedPostgres) -> None:
    with closing(connect(running)) as connection:
        connection.execute("SELECT 1")
        os.kill(postmaster(running), signal.SIGKILL)
        running.ensure()
    assert query(running, "SELECT 1") == [(1,)]


def test_it_comes_back_after_kill_9_of_all_of_its_processes(running: EmbeddedPostgres) -> None:
    processes = [postmaster(running), *(pid for (pid,) in query(running, "SELECT pid FROM pg_stat_activity"))]
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    running.ensure()
    assert query(running, "SELECT 1") == [(1,)]


def test_committed_rows_survive_kill_9(running: EmbeddedPostgres) -> None:
    with connect(running) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (7)")
    os.kill(postmaster(running), signal.SIGKILL)
    running.ensure()
    assert (7,) in query(running, "SELECT number FROM kept")


def test_a_stale_pid_file_with_the_id_of_another_process_does_not_stop_it(stopped: EmbeddedPostgres, foreign_process: int) -> None:
    (stopped.folders.data / "postmaster.pid").write_text(f"{foreign_process}\n")
    (stopped.socket / ".s.PGSQL.5432.lock").write_text(f"{foreign_process}\n")
    stopped.ensure()
    assert stopped.is_running()


def test_stop_does_not_touch_the_process_of_a_stale_pid_file(stopped: EmbeddedPostgres, foreign_process: int) -> None:
    (stopped.folders.data / "postmaster.pid").write_text(f"{foreign_process}\n")
    assert not stopped.stop()
    os.kill(foreign_process, 0)


def test_it_starts_after_its_starter_was_killed_while_it_made_the_data(new: EmbeddedPostgres) -> None:
    with children.start(children.ENSURE, new.folders.root) as starter:
        for _ in until(30, "initdb did not begin"):
            if (new.folders.unfinished_data / "PG_VERSION").exists():
                break
        starter.kill()
    assert not new.folders.data.exists()
    new.ensure()
    assert query(new, "SELECT 1") == [(1,)]
    assert not new.folders.unfinished_data.exists()


def test_it_makes_its_database_again_where_that_is_missing(running: EmbeddedPostgres) -> None:
    with connect(running, "postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE stockpred WITH (FORCE)")
    running.ensure()
    assert query(running, "SELECT current_database()") == [("stockpred",)]


def test_stop_says_that_it_stopped_a_server(running: EmbeddedPostgres) -> None:
    assert running.stop()
    assert not running.is_running()


def test_stop_ends_a_server_with_open_connections(running: EmbeddedPostgres) -> None:
    with closing(connect(running)) as connection:
        connection.execute("SELECT 1")
        assert running.stop()


def test_stop_says_that_there_was_no_server_to_stop(stopped: EmbeddedPostgres) -> None:
    assert not stopped.stop()


def test_stop_of_a_server_that_never_ran_makes_nothing(new: EmbeddedPostgres) -> None:
    assert not new.stop()
    assert not new.folders.root.exists()


def test_an_error_says_why_and_where_the_log_is_and_how_to_use_another_database(new: EmbeddedPostgres) -> None:
    new.folders.claim()
    new.folders.data.mkdir()  # without the files of a database
    with pytest.raises(EmbeddedPostgresError) as error:
        new.ensure()
    message = str(error.value)
    assert "the server ended while it started" in message
    assert "postgresql.conf" in message  # from the log
    assert str(new.folders.log) in message
    assert "DATABASE_URL=postgres://user:password@host:5432/name" in message


def test_an_ordinary_user_is_told_which_folder_cannot_be_written(folder: Path) -> None:
    sealed = folder / "sealed"
    sealed.mkdir(mode=0o555)
    code = children.ORDINARY_USER + ("try:\n    server.ensure()\nexcept EmbeddedPostgresError as error:\n    print(error)")
    message = children.run(code, sealed / "postgres")
    assert f"Permission denied: '{sealed / 'postgres'}'" in message
    assert "DATABASE_URL=" in message
