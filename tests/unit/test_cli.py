"""The command line: what it says, and how it ends."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import forebay
from forebay.cli import cli
from forebay.cli.topology import table, vhost_of
from services.auth import verify_connection_token, verify_subscription_token
from services.settings import TokenConfig

KEY = "a secret of at least 32 bytes, for tests"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=environ).invoke(cli, arguments, prog_name="forebay")


def token(*arguments: str) -> str:
    done = run("token", *arguments, environ={"FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": KEY})
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_the_version_is_said() -> None:
    assert run("--version").output == f"forebay {forebay.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("dev", "front", "worker", "topology", "token", "log", "check")),
        (("topology", "apply"), ("--management-url", "FOREBAY_FRONT_PASSWORD", "cluster")),
        (("topology", "show"), ("RabbitMQ is not asked",)),
        (("token",), ("USER", "--ttl", "--channel", "--info")),
        (("log", "tail"), ("--lane", "--from", "--no-follow", "--payloads", "--json")),
        (("dead",), ("list", "show", "drop", "replay", "operator")),
        (("dead", "replay"), ("--reason", "--channel", "--older-than", "--limit", "--yes")),
        (("check",), ("--config", "--development")),
        (("doctor",), ("--config", "Changes nothing")),
    ],
)
def test_help_says_what_there_is(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = run(*arguments, "--help")
    assert done.exit_code == 0
    for word in words:
        assert word in done.output


@pytest.mark.parametrize("name", ["dev", "front", "worker"])
def test_a_process_answers_for_its_own_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(name, "--help")
    assert done.exit_code == 0
    assert f"forebay {name}" in done.output + capsys.readouterr().out


def test_a_token_is_one_that_a_front_accepts() -> None:
    now = time.time()
    made = token("bob", "--ttl", "30m", "--info", '{"name":"Bob"}')
    identity = verify_connection_token(made, TokenConfig(hmac_secret_key=KEY), now)
    assert (identity.user, identity.info) == ("bob", b'{"name":"Bob"}')
    assert identity.expire_at is not None
    assert now + 1799 < identity.expire_at < now + 1860


def test_a_token_may_last_for_ever() -> None:
    made = token("bob", "--ttl", "0")
    identity = verify_connection_token(made, TokenConfig(hmac_secret_key=KEY), time.time())
    assert identity.expire_at is None


def test_a_token_for_a_channel_is_a_subscription_token() -> None:
    made = token("bob", "--channel", "$chat")
    tokens = TokenConfig(hmac_secret_key=KEY)
    grant = verify_subscription_token(
        made, tokens, time.time(), user="bob", client="any", channel="$chat"
    )
    assert grant.channel == "$chat"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bob",), "client.token.hmac_secret_key"),
        (("bob", "--ttl", "soon"), "write a duration"),
        (("bob", "--info", "{"), "not JSON"),
    ],
)
def test_a_token_that_cannot_be_made_is_said(arguments: tuple[str, ...], says: str) -> None:
    done = run("token", *arguments)
    assert done.exit_code == 2
    assert says in done.output


def test_check_says_what_is_open_and_what_surprises() -> None:
    done = run("check", "--development")
    assert done.exit_code == 0
    assert "open: Clients connect without a token" in done.output
    Path("forebay.toml").write_text('[[namespace]]\nname = "chat"\n')
    done = run("check")
    assert done.exit_code == 0
    assert "warning: namespace chat: no history, a reconnecting client misses messages" in (
        done.output
    )


def test_check_says_everything_that_is_wrong() -> None:
    Path("other.toml").write_text("[front]\nprot = 1\nport = -1\n")
    done = run("check", "--config", "other.toml", environ={"FOREBAY_FORNT__PORT": "1"})
    assert done.exit_code == 2
    assert done.stdout == ""
    for words in ("FOREBAY_FORNT__PORT: no such", "front.prot: no such", "front.port: "):
        assert words in done.stderr


def test_the_topology_is_shown_with_what_each_user_may() -> None:
    environ = {
        "FOREBAY_LANES__BULK__PARTITIONS": "1",
        "FOREBAY_RABBITMQ__PREFIX": "x.",
        "FOREBAY_RABBITMQ__LOG_MAX_BYTES": "64MiB",
    }
    done = run("topology", "show", environ=environ)
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.output.splitlines() if line}
    assert "fanout exchange" in lines["x.bus"]
    assert "quorum queue" in lines["x.inbound.bulk.0"]
    assert "single-active-consumer=true" in lines["x.inbound.main.3"]
    assert "max-length-bytes=67108864" in lines["x.log.bulk.0"]
    assert "stream" in lines["x.log.bulk.0"]
    assert "x.inbound.bulk.1" not in lines
    for role in ("front", "worker", "backend", "operator"):
        assert role in lines
    assert r"^x\.api$" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("topology", "apply"), "--url"),
        (("log", "tail"), "rabbitmq.url"),
        (("dead", "list"), "--url"),
        (("doctor",), "rabbitmq.url"),
    ],
)
def test_a_command_without_a_broker_says_what_to_set(arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--reason", "unlucky"), "undecodable, refused, failed"),
        (("--older-than", "soon"), "10m"),
        (("--newer-than", "-1"), "10m"),
        (("--limit", "0"), "x>=1"),
    ],
)
def test_dead_letters_that_cannot_be_are_refused(arguments: tuple[str, ...], says: str) -> None:
    done = run("dead", "list", *arguments, environ={"FOREBAY_AMQP_URL": "amqp://127.0.0.1:1"})
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--lane", "chta"), "there is main"),
        (("--partition", "4"), "0 to 3"),
        (("--from", "soon"), "first"),
    ],
)
def test_a_tail_of_what_is_not_there_is_refused(arguments: tuple[str, ...], says: str) -> None:
    done = run("log", "tail", *arguments, environ={"FOREBAY_AMQP_URL": "amqp://127.0.0.1:1"})
    assert done.exit_code == 2
    assert says in done.output


def test_a_broker_that_is_away_is_said_in_a_sentence() -> None:
    done = run("topology", "apply", "--url", "amqp://127.0.0.1:1")
    assert done.exit_code == 2
    assert "RabbitMQ cannot be reached" in done.output
    assert "Traceback" not in done.output


def test_users_need_passwords() -> None:
    url = ("--url", "amqp://127.0.0.1:1", "--management-url", "http://127.0.0.1:1")
    done = run("topology", "apply", *url)
    assert done.exit_code == 2
    assert "FOREBAY_FRONT_PASSWORD" in done.output


def test_help_loads_neither_services_nor_broker_and_ours_come_first(tmp_path: Path) -> None:
    # A team's own package of that name lies where the command is started.
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    code = (
        "import sys; sys.argv = ['forebay', '--help']; from forebay.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print({m.split('.')[0] for m in sys.modules} & {'services', 'broker'})"
    )
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("set()\n")
    command = [sys.executable, "-m", "forebay", "check"]
    checked = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_table_has_its_columns_under_each_other() -> None:
    assert table([("a", "bb"), ("ccc", "")]) == "a    bb\nccc"


def test_the_virtual_host_is_that_of_the_url() -> None:
    assert vhost_of("amqp://u:p@h:1/forebay") == "forebay"
    assert vhost_of("amqp://h/a%2Fb") == "a/b"
    assert vhost_of("amqp://h") == vhost_of("amqp://h/") == "/"
