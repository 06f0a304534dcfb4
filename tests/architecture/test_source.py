"""The source as it lies in the repository: nothing of the machine that it was written on."""

import ast
import re
import subprocess

from tests.architecture.source import ROOT, modules

# Folders of somebody's machine. Paths of a system's packages (/usr/lib/rabbitmq) and of a container
# image (/app) are the same for everybody.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/}-])/(?:work|home/(?!linuxbrew)|Users|root|mnt|opt/wheels)\b/?"
)


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def test_no_file_names_a_path_of_a_machine() -> None:
    found = []
    for name in tracked_files():
        path = ROOT / name
        if not path.is_file() or name == "tests/architecture/test_source.py":
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # a picture
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found


def test_every_module_says_what_it_is_for() -> None:
    silent = [module.at(1) for module in modules() if ast.get_docstring(module.tree) is None]
    assert not silent
