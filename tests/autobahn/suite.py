"""Autobahn's test suite in an environment of its own, made when it is needed.

It is Python 2 to the core: its modules import each other without saying from where, and take text
for bytes; its last release still builds on a library of 2015. So it needs a Python 2.7, which no
system brings any more; `pyenv install 2.7.18` does.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
FOLDER = ROOT / ".make" / "autobahn"
# The last that makes environments of Python 2.7.
VIRTUALENV = "virtualenv==20.21.1"
PYTHON_VARIABLE = "PYTHON2"


class NoPython2(Exception):
    """There is no Python 2.7 here; the text says what to do."""


def find_python2() -> str:
    """Give the path of a Python 2.7 that runs.

    Raises:
        NoPython2: there is none.
    """
    for path in _candidates():
        try:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        except OSError:
            continue
        # Python 2 says its version on stderr. A shim of pyenv may stand for one that is not chosen.
        if said.returncode == 0 and "Python 2.7" in said.stdout + said.stderr:
            return path
    raise NoPython2(
        "Autobahn's test suite runs on Python 2.7 only, and there is none:"
        f" `pyenv install 2.7.18`, or name one with {PYTHON_VARIABLE}=..."
    )


def _candidates() -> Iterator[str]:
    told = os.environ.get(PYTHON_VARIABLE)
    if told:
        yield told
        return
    found = shutil.which("python2.7")
    if found is not None:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from map(str, sorted(pyenv.glob("versions/2.7*/bin/python2.7")))


def ensure_suite() -> str:
    """Have the suite installed, and give the path of its command.

    Raises:
        NoPython2: it cannot be.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    environment = FOLDER / "python2"
    stamp = environment / ".forebay-ready"
    if not stamp.exists() or stamp.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        python2 = find_python2()
        sys.stderr.write(f"forebay: setting up {environment}\n")
        shutil.rmtree(environment, ignore_errors=True)
        _make_environment(python2, environment)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.touch()
    return str(environment / "bin" / "wstest")


def _make_environment(python2: str, environment: Path) -> None:
    helper = FOLDER / "virtualenv"
    if not helper.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--target", str(helper), VIRTUALENV], check=True)
    subprocess.run(
        [sys.executable, "-m", "virtualenv", "--quiet", "--python", python2, str(environment)],
        env={**os.environ, "PYTHONPATH": str(helper)},
        check=True,
    )
