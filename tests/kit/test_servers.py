"""Servers begin, fail and end; and the processes under them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forebay.testing import Kit, Server, ServerBroke, SettingsProblem, open_kit
from tests.kit.settings import SETTINGS


def test_a_server_knows_nothing_of_the_one_before(kit: Kit) -> None:
    for _ in range(2):
        with kit.run(config=SETTINGS) as server:
            client = server.client("42")
            client.subscribe("chat:1")
            assert client.history("chat:1") == []
            client.publish("chat:1", "hi")


def test_servers_at_the_same_time_are_apart(kit: Kit) -> None:
    with kit.run(config=SETTINGS) as one, kit.run(config=SETTINGS) as other:
        clients = [server.client("42") for server in (one, other)]
        for client in clients:
            client.subscribe("chat:1")
        clients[0].publish("chat:1", "hi")
        one.advance(minutes=1)
        assert [client.received("chat:1") for client in clients] == [["hi"], []]
        assert one.now > other.now


def test_settings_come_from_a_file_too(kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text('[[namespace]]\nname = "chat"\nallow_subscribe_for_client = true\n')
    with kit.run(config=path) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        assert client.refused is None


def test_every_problem_of_the_settings_is_told(kit: Kit) -> None:
    wrong = {"client": {"chanel_limit": 3}, "namespace": [{"name": "chat", "lane": "bulk"}]}
    with pytest.raises(SettingsProblem) as problem, kit.run(config=wrong):
        pass
    assert str(problem.value).splitlines() == [
        "client.chanel_limit: no such setting; did you mean channel_limit?",
        'namespace[chat].lane: there is no lane "bulk"',
    ]


def test_this_machines_variables_are_no_settings(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_CLIENT__ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN", "true")
    with open_kit() as another, another.run(config=SETTINGS) as server:
        assert not server.client().is_connected


def test_a_process_that_dies_is_told_of_and_not_used_again(kit: Kit) -> None:
    with kit.run(config=SETTINGS) as server:
        os.kill(server.process_id, signal.SIGKILL)
        with pytest.raises(ServerBroke, match="exit code -9"):
            server.client("42")
    with kit.run(config=SETTINGS) as server:
        assert server.client("42").is_connected


def test_a_process_ends_with_the_kit(server: Server) -> None:
    with open_kit() as another:
        with another.run(config=SETTINGS) as its:
            number = its.process_id
        os.kill(number, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def assert_process_ends_with(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    number = int(ended.stdout)
    deadline = time.monotonic() + 15
    while _lives(number):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_ends_with_a_test_run_that_was_killed() -> None:
    assert_process_ends_with(
        "import os, signal\n"
        "from forebay.testing import open_kit\n"
        "with open_kit() as kit, kit.run() as server:\n"
        "    print(server.process_id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )


def test_a_process_ends_with_a_test_run_that_was_killed_in_a_handler() -> None:
    assert_process_ends_with(
        "import os, signal\n"
        "from forebay import App, Call\n"
        "from forebay.testing import open_kit\n"
        "app = App()\n"
        "@app.rpc('die')\n"
        "def die(call: Call) -> None:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "with open_kit() as kit, kit.run(app) as server:\n"
        "    print(server.process_id, flush=True)\n"
        "    server.client('42').rpc('die')\n"
    )


def _lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # nobody may be there to take note of its end
