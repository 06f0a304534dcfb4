"""One try of one task by an App, within the test's own process."""

from forebay import App
from forebay.host.trying import try_task
from forebay.link import Answer, Task, Verdict
from tests.app.host import task

__all__ = ["task", "tried"]


async def tried(app: App, asked: Task) -> Answer:
    """What the App answers."""
    answer = try_task(app, asked)
    if answer is not None and not isinstance(answer, Answer):
        answer = await answer
    return answer if answer is not None else Answer(asked.number, Verdict.PASSED)
