"""What an app process runs first: makes the `forebay` package importable, whatever else is not.

A worker starts this file by its path, and gives it the folder of that package before the host's own
arguments. So an app is hosted by the version that its worker is of, where Forebay is installed as
well as where it is run from its source; and nothing is added to the paths on which the team's own
packages are found.

Rules: imports nothing but the standard library.
"""

import importlib.util
import os
import runpy
import sys

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def end_with_the_worker() -> None:
    """Have the kernel end this process if the worker is killed, even if a handler never returns."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def load_package(folder: str) -> None:
    """Import the `forebay` package from its folder."""
    spec = importlib.util.spec_from_file_location(
        "forebay", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise AssertionError("a folder with an __init__.py is a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["forebay"] = package
    spec.loader.exec_module(package)


def main() -> None:
    """Become the host of an app."""
    end_with_the_worker()
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's own folder
    load_package(sys.argv.pop(1))
    runpy.run_module("forebay.host", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
