"""What can go wrong between a process and the broker.

Rules: adapters translate at their border, so that nothing above `broker/` ever sees a client
library's exception. Each exception carries facts; its sentence is formed once, here.
"""


class BrokerError(Exception):
    """Anything the broker, or the way to it, did not do."""


class BrokerUnavailable(BrokerError):
    """The connection is away or was lost; what was under way may or may not have happened."""


class NeverSubmitted(BrokerUnavailable):
    """There was no way to the broker: what was to be sent certainly did not leave this process."""


class StreamEmpty(BrokerUnavailable):
    """A stream gives no record although the broker answers; topology begins each with one."""


class SubmitRefused(BrokerError):
    """The broker said no, and so certainly keeps nothing: its pool is full, or has no queue."""


class DeadLettersInUse(BrokerError):
    """Somebody else reads the dead letters, and holds them meanwhile."""

    def __init__(self) -> None:
        super().__init__(
            "somebody else reads the dead letters and holds them: try again when that has ended"
        )


class TopologyProblem(BrokerError):
    """The broker is there, but not what a deployment needs; `next_step` says what to do."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem}. {next_step}")
        self.problem = problem
        self.next_step = next_step


class UndecodableBody(BrokerError):
    """A message's body is not what its place in the topology asks for."""
