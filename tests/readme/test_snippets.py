"""Every code block of the README does what the README says.

Rules: a block is known by the heading it stands under and its language, and one that is not known
fails; `localhost:8000` in it becomes the address of a server of the test's own, nothing else is
changed.

Not here: `make up`, `make test`, `make dev` and `docker compose up` from nothing in a fresh clone,
which takes minutes and installs things: that is checked by hand and by CI. Here they are held to
exist. What `make up` runs is for `test_make_up` and `tests/browser`.
"""

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from forebay.cli import cli
from services.config import load_config
from services.variables import PASSWORDS
from tests.readme.document import Block, blocks
from tests.system.process import ROOT
from tests.system.tools import find_browser, find_node

HERE = Path(__file__).parent
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
TYPED = "hello from a shell"
HEARD_SECONDS = 15.0
ASSIGNMENT = re.compile(r"[A-Z_]+=")
PROCESSES = {"front", "worker", "dev"}


class Place(NamedTuple):
    """Where the blocks run."""

    server: str
    directory: Path

    def code(self, block: Block) -> str:
        """The block, for this place."""
        return block.code.replace("localhost:8000", self.server)


def run_picture(block: Block, place: Place) -> None:
    """Nothing to run: it draws the path."""
    assert {"front", "worker", "log", "subscribers"} <= set(re.findall(r"\w+", block.code))


def run_page(block: Block, place: Place) -> None:
    """Open it as a file, as somebody who saved it does."""
    _browse(place, "file", "page.html", place.code(block), [r'^\d+ \{"text":"你好"\}$'])


def run_bare_protocol(block: Block, place: Place) -> None:
    replies = [r'^{"id":1,"connect"', r'^{"id":2,"subscribe"', r'^{"id":3,"publish"']
    expected = [*replies, r'"pub":{.*"text":"hello"']
    _browse(place, "console", "bare.js", place.code(block), expected)


def run_plain(block: Block, place: Place) -> None:
    _browse(place, "console", "plain.js", place.code(block), ["^欢迎", "已收到: 你好,服务器!$"])


def run_python(block: Block, place: Place) -> None:
    script = place.directory / "client.py"
    script.write_text(place.code(block), encoding="utf-8")
    done = _run([sys.executable, str(script)])
    assert done.returncode == 0, done.stdout
    pushed, history = done.stdout.strip().rsplit("\n", 1)
    assert pushed.endswith("{'text': 'hello from Python'}"), done.stdout
    assert "hello from Python" in history, done.stdout


def run_app(block: Block, place: Place) -> None:
    """Hold the app to its types, and its test to pass; the one that stands below it."""
    app, test = (each for each in blocks(README) if _is_of_app(each))
    for each in (app, test):
        name = each.first_line.removeprefix("# ")
        (place.directory / name).write_text(each.code, encoding="utf-8")
    tested = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    passed = _run(tested, directory=place.directory)
    assert "1 passed" in passed.stdout, passed.stdout
    # Type checkers do not follow the hooks by which a checkout is installed.
    checked = [sys.executable, "-m", "mypy", "--strict", "."]
    typed = _run(checked, directory=place.directory, MYPYPATH=str(ROOT))
    assert typed.returncode == 0, typed.stdout


def _is_of_app(block: Block) -> bool:
    return (block.heading, block.language) == ("Your own Python in between", "python")


def run_shell_client(block: Block, place: Place) -> None:
    """The client of the shell, with a line typed into it."""
    install, connect = _commands(block)
    assert install[:2] == ["pip", "install"]
    assert importlib.metadata.version(install[2])
    assert connect[0] == "python"
    command = [each.replace("localhost:8000", place.server) for each in connect[1:]]
    heard = place.directory / "heard.txt"
    with (
        heard.open("wb") as screen,
        subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=screen,
            stderr=screen,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        ) as client,
    ):
        try:
            assert client.stdin is not None
            _wait_for("欢迎", heard)
            client.stdin.write(f"{TYPED}\n".encode())
            client.stdin.flush()
            _wait_for(f"已收到: {TYPED}", heard)
        finally:
            client.kill()


def run_commands(block: Block, place: Place) -> None:
    """Hold every command of a shell block to exist, with the options that it is given."""
    for command in _commands(block):
        variables = list(takewhile(ASSIGNMENT.match, command))
        _export(variables, place)
        name, *arguments = command[len(variables) :]
        assert name in COMMANDS, f"no test knows the command {shlex.join(command)}"
        COMMANDS[name](arguments, place)


def _make(arguments: list[str], place: Place) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert arguments
    assert set(arguments) <= targets


def _export(arguments: list[str], place: Place) -> None:
    """Hold variables to be settings, or what `forebay topology apply` reads."""
    variables = dict(each.split("=", 1) for each in arguments)
    settings = _settings(place)
    load_config(environ={**settings, **variables})
    known = {name for name in variables if "__" in name} | {*PASSWORDS.values()}
    assert variables.keys() <= known


def _pip(arguments: list[str], place: Place) -> None:
    subcommand, package = arguments
    assert subcommand == "install"
    if package == ".":
        assert (ROOT / "pyproject.toml").is_file()
        return
    assert importlib.metadata.version(package)


def _copy(arguments: list[str], place: Place) -> None:
    source, _ = arguments
    assert (ROOT / source).is_file()


def _compose(arguments: list[str], place: Place) -> None:
    assert arguments == ["compose", "up"]
    assert (ROOT / "compose.yaml").is_file()


def _forebay(arguments: list[str], place: Place) -> None:
    name, *rest = arguments
    if name in ("check", "token"):
        done = _run([sys.executable, "-m", "forebay", *arguments], env=_settings(place))
        assert done.returncode == 0, done.stdout
        if name == "token":
            assert done.stdout.count(".") == 2, done.stdout
    elif name in PROCESSES:
        done = _run([sys.executable, "-m", "forebay", name, "--help"], env=_settings(place))
        assert done.returncode == 0, done.stdout
        assert all(each in done.stdout for each in rest if each.startswith("--")), done.stdout
    else:
        _parse(arguments)


def _parse(arguments: list[str]) -> None:
    """Read a command line as `forebay` does, without doing what it says.

    Raises:
        click.UsageError: there is no such command or option.
    """
    command: click.Command = cli
    while isinstance(command, click.Group):
        within = click.Context(command)
        _, found, arguments = command.resolve_command(within, arguments)
        assert found is not None
        command = found
    command.make_context(command.name, arguments)


COMMANDS: dict[str, Callable[[list[str], Place], None]] = {
    "make": _make,
    "export": _export,
    "pip": _pip,
    "cp": _copy,
    "docker": _compose,
    "forebay": _forebay,
}

RUNS: dict[tuple[str, str], Callable[[Block, Place], None]] = {
    ("Forebay", ""): run_picture,
    ("Start it", "sh"): run_commands,
    ("From a browser", "html"): run_page,
    ("From a browser", "js"): run_bare_protocol,
    ("No protocol at all", "js"): run_plain,
    ("From a shell", "sh"): run_shell_client,
    ("From Python", "sh"): run_commands,
    ("From Python", "python"): run_python,
    ("Your own Python in between", "python"): run_app,
    ("Your own Python in between", "sh"): run_commands,
    ("Production", "sh"): run_commands,
}


@pytest.fixture
def place(server: str, tmp_path: Path) -> Place:
    return Place(server, tmp_path)


@pytest.mark.sdk
@pytest.mark.timeout(90)
@pytest.mark.parametrize("block", [pytest.param(b, id=b.first_line) for b in blocks(README)])
def test_a_block_of_the_readme_does_what_it_says(block: Block, place: Place) -> None:
    run = RUNS.get((block.heading, block.language))
    if run is None:
        pytest.fail(f"no test knows a block of {block.language!r} under {block.heading!r}")
    run(block, place)


def test_the_readme_still_has_every_block_that_is_tested() -> None:
    assert {(each.heading, each.language) for each in blocks(README)} == set(RUNS)


def test_the_chinese_readme_has_the_same_blocks() -> None:
    english, chinese = ([(b.language, b.code) for b in blocks(page)] for page in (README, CHINESE))
    assert chinese == english


def _commands(block: Block) -> list[list[str]]:
    """The command lines of a shell block, without their comments."""
    lines = (shlex.split(line, comments=True) for line in block.code.splitlines())
    return [line for line in lines if line]


def _settings(place: Place) -> dict[str, str]:
    empty = place.directory / "empty.toml"
    empty.touch()
    return {
        "FOREBAY_CONFIG": str(empty),
        "FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": "a secret of the test, long enough for HS256",
        "FOREBAY_RABBITMQ__URL": "amqp://nobody@localhost/forebay",
    }


def _run(
    command: list[str],
    *,
    directory: Path = ROOT,
    env: Mapping[str, str] | None = None,
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
    return subprocess.run(
        command,
        cwd=directory,
        env={**inherited, **(env or {}), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=40,
        check=False,
    )


def _wait_for(words: str, screen: Path) -> None:
    """Wait until a program has written these words."""
    deadline = time.monotonic() + HEARD_SECONDS
    while words not in (shown := screen.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)


def _browse(place: Place, how: str, name: str, snippet: str, expected: list[str]) -> None:
    """Run a snippet in Chromium until all that is expected has been logged."""
    browser = find_browser()
    node = find_node(ROOT / "tests/browser", ROOT / "tests/sdk")
    path = place.directory / name
    path.write_text(snippet, encoding="utf-8")
    done = _run(
        [node, str(HERE / "browse.mjs")],
        HOW=how,
        SNIPPET=str(path),
        PAGE_URL=f"http://{place.server}/",
        EXPECTED=json.dumps(expected),
        CHROMIUM=browser,
    )
    assert done.returncode == 0, done.stdout
