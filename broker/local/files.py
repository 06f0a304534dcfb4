"""What a private node reads at its start: configuration, plugins, secrets, environment.

Rules: everything a node reads or writes lies below its one folder; secrets are made once and only
their owner may read them; the child's environment is built from nothing, so that no RABBITMQ_
variable or /etc/rabbitmq of the machine changes what a test means.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from broker.local.ports import HOST, find_free

SHARED = Path(__file__).parent.parent / "conf"
ADMIN_USER = "admin"
VHOST = "forebay"
NODE_NAME = "forebay@localhost"
SECRET_BYTES = 24

# Two schedulers are plenty for a node whose clients are on the same machine, and start faster than
# one a core. Not bound to cores and never spinning: the node shares them with what it serves.
ERLANG_FLAGS = "+S 2:2 +stbt u +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True)
class NodePorts:
    """The loopback ports that one node listens on; `epmd` is its private Erlang port mapper."""

    amqp: int
    management: int
    prometheus: int
    distribution: int
    epmd: int

    @classmethod
    def find(
        cls,
        *,
        amqp: int | None = None,
        management: int | None = None,
        epmd: int | None = None,
    ) -> "NodePorts":
        """Use the ports given and free ones for the rest."""
        free = find_free(5)
        return cls(amqp or free[0], management or free[1], free[2], free[3], epmd or free[4])


@dataclass(frozen=True)
class Membership:
    """A node's part in a cluster, whose nodes share their secrets and a port mapper."""

    node_name: str
    secrets_directory: Path
    settings: str
    """Lines of configuration that make it a cluster."""


@dataclass(frozen=True)
class NodeFiles:
    """The folder of one node."""

    directory: Path
    membership: Membership | None = None

    @property
    def log(self) -> Path:
        """The node's own log."""
        return self.directory / "log" / "rabbit.log"

    @property
    def output(self) -> Path:
        """What the node's process wrote before and beside its log."""
        return self.directory / "log" / "output.log"

    @property
    def data(self) -> Path:
        """What the node stores."""
        return self.directory / "data"

    @property
    def admin_password(self) -> str:
        """The administrator's password, made at the first asking and kept."""
        return self.secret("admin-password")

    @property
    def cookie(self) -> str:
        """The secret that rabbitmqctl shows to its node, made at the first asking and kept."""
        return self.secret(".erlang.cookie")

    def secret(self, name: str) -> str:
        """A password kept in a file, made at the first asking; it needs no escaping in a URL."""
        path = self.home / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_private(path, secrets.token_hex(SECRET_BYTES))
        return path.read_text()

    def write(self, ports: NodePorts) -> None:
        """Lay out the folder for the next start; what the node stored there stays."""
        for name in ("log", "data", "schema", "conf.d"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        shared = (SHARED / "rabbitmq.conf").read_text()
        _write_private(self.directory / "rabbitmq.conf", shared + self._own_settings(ports))
        plugins = (SHARED / "enabled_plugins").read_text()
        (self.directory / "enabled_plugins").write_text(plugins)
        self.secret(".erlang.cookie")

    def environment(self, ports: NodePorts) -> dict[str, str]:
        """The whole environment of the node and of the tools that talk to it."""
        here = self.directory
        distribution = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",  # rabbitmqctl warns on every call without a UTF-8 locale
            "HOME": str(self.home),  # where Erlang looks for its cookie
            "ERL_EPMD_PORT": str(ports.epmd),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_CRASH_DUMP": str(here / "log" / "erl_crash.dump"),
            # The same on whatever ports, or a node would not find its data again. No two nodes can
            # clash: each has a port mapper of its own, or shares one with its cluster alone.
            "RABBITMQ_NODENAME": self.membership.node_name if self.membership else NODE_NAME,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(ports.amqp),
            "RABBITMQ_DIST_PORT": str(ports.distribution),
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_PID_FILE": str(here / "pid"),
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(here / "conf.d" / "*.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "rabbitmq-env.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(here / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG_FLAGS} {distribution}",
            "RABBITMQ_CTL_ERL_ARGS": distribution,
            # The start script then becomes the node instead of staying as its parent, so that the
            # process we started is the one to signal.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    @property
    def home(self) -> Path:
        """The folder that holds all that the node reads or writes."""
        return self.membership.secrets_directory if self.membership else self.directory

    def _own_settings(self, ports: NodePorts) -> str:
        return f"""
# The rest is this node's own.
listeners.tcp.default = {HOST}:{ports.amqp}
management.tcp.ip = {HOST}
management.tcp.port = {ports.management}
prometheus.tcp.ip = {HOST}
prometheus.tcp.port = {ports.prometheus}
default_user = {ADMIN_USER}
default_pass = {self.admin_password}
log.console = false
log.file.level = info
{self.membership.settings if self.membership else ""}"""


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody but its owner could read at any moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
