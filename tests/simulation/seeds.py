"""Lives a seed's life and says what was wrong with it."""

from tests.simulation.checks import Checks
from tests.simulation.world import Traits, Violation, live


def find_violation(
    seed: int, traits: Traits | None = None, *, is_logged: bool = False
) -> str | None:
    """Say what does not hold, or that a process broke; None if all is well."""
    try:
        world = live(seed, traits, is_logged=is_logged)
        Checks(world).all_hold()
    except Violation as violation:
        return str(violation)
    except Exception as error:  # noqa: BLE001  (whatever breaks a process is what is looked for)
        first = _first(error)
        return str(first) if isinstance(first, Violation) else repr(first)
    return None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
