"""The command line: one file a family of commands, put together here.

Rules
- `services` and `broker` are imported inside functions only, so that `--help` is quick and that
  nothing of them is loaded before `forebay.__main__` has put ours first.
- What is expected to fail is said in sentences (`ending`); exit code 2 means that a person must
  change something first.

Not here: what the commands do, wherever a service does it too.
"""

import click

import forebay
from forebay.cli.check import check
from forebay.cli.dead import dead
from forebay.cli.doctor import doctor
from forebay.cli.log import log
from forebay.cli.processes import dev, front, worker
from forebay.cli.token import token
from forebay.cli.topology import topology

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(forebay.__version__, message="forebay %(version)s")
def cli() -> None:
    """Self-hosted realtime messaging: a front, a worker, and RabbitMQ between them.

    Settings come from forebay.toml and from FOREBAY_… variables, which win over it.
    """


for command in (dev, front, worker, topology, token, log, dead, check, doctor):
    cli.add_command(command)
