"""What of the options about an app is handed on to another command."""

import argparse

import pytest

from services.worker.handling.command_line import add_app_options, app_arguments


def parser(*, reloads: bool) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_app_options(made, reloads=reloads)
    return made


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--app", "shop.main:app", "--app-processes", "4", "--reload"],
        ["--no-reload"],
    ],
)
@pytest.mark.parametrize("reloads", [True, False])
def test_another_command_is_told_what_this_one_was(given: list[str], reloads: bool) -> None:
    options = parser(reloads=reloads).parse_args(given)
    handed_on = app_arguments(options)
    assert parser(reloads=False).parse_args(handed_on) == options
    assert parser(reloads=True).parse_args(handed_on) == options
