"""What must hold of any frame at all, from the front's decoder to the worker's check."""

from collections.abc import Callable, Sequence

from services.wire.command import METHODS, Command, Malformed, PublishRequest, method_of
from services.wire.errors import Disconnect, ProtocolError
from services.wire.json_codec import COMMANDS_A_FRAME, LARGEST_ID, decode_frame
from services.wire.payload import one_line, validate_payload

_METHODS = frozenset(METHODS.values())


Decode = Callable[[bytes], list[Command]]


def read(frame: bytes, decode: Decode = decode_frame) -> tuple[int, int]:
    """Read a frame as a front and a worker do; give how many commands it has and 1 if it also is in
    error.

    Raises:
        AssertionError: what came out is no command.
    """
    failure: ProtocolError | None = None
    commands: Sequence[Command] = ()
    try:
        commands = decode(frame)
    except ProtocolError as error:
        failure, commands = error, error.commands
    assert failure.disconnect is Disconnect.BAD_REQUEST if failure else commands
    _check(commands)
    return len(commands), int(failure is not None)


def _check(commands: Sequence[Command]) -> None:
    assert len(commands) <= COMMANDS_A_FRAME
    for command in commands:
        assert 0 <= command.id <= LARGEST_ID
        request = command.request
        if request is None:
            continue
        assert method_of(request) in _METHODS
        if isinstance(request, PublishRequest):
            _check_payload(bytes(request.data))
        elif isinstance(request, Malformed):
            assert command.id or request.method == "send"


def _check_payload(data: bytes) -> None:
    line = one_line(data)
    assert b"\n" not in line
    assert b"\r" not in line
    error = validate_payload(line)
    assert error is None or error.code == 107
