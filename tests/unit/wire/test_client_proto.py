"""The committed module of the Protobuf messages is what the compiler makes of `client.proto`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
PROTO = "services/wire/client.proto"
MADE = ("services/wire/client_pb2.py", "services/wire/client_pb2.pyi")


@pytest.fixture(scope="module")
def made_anew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("proto")
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "--proto_path=.",
        f"--python_out={directory}",
        f"--pyi_out={directory}",
        PROTO,
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return directory


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", MADE)
def test_what_is_committed_is_what_make_proto_makes(name: str, made_anew: Path) -> None:
    assert (ROOT / name).read_text() == (made_anew / name).read_text()
