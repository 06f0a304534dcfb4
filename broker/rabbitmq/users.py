"""Makes the users that front, worker, backends and operators are, through the management API.

Only an administrator does this, now and then, so it is the standard library's blocking client.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from broker.errors import BrokerUnavailable, TopologyProblem
from broker.rabbitmq.topology import permissions

_TIMEOUT_SECONDS = 10


def apply_users(management_url: str, vhost: str, prefix: str, passwords: Mapping[str, str]) -> None:
    """Make one user a role, named like the role, that may do what the role needs and no more.

    `management_url` is that of the management UI, with an administrator's credentials;
    `passwords` maps the roles wanted to their users' passwords. Can be done again.

    Raises:
        BrokerUnavailable: the management API does not answer.
        TopologyProblem: it does not let us, or there is no such role.
    """
    wanted = permissions(prefix)
    for role, password in passwords.items():
        if role not in wanted:
            raise TopologyProblem(f"no role is called {role!r}", f"There are {', '.join(wanted)}")
        configure, write, read = wanted[role]
        _put(management_url, f"users/{role}", {"password": password, "tags": ""})
        _put(
            management_url,
            f"permissions/{quote(vhost, safe='')}/{role}",
            {"configure": configure, "write": write, "read": read},
        )


def _put(management_url: str, path: str, body: dict[str, str]) -> None:
    url = urlsplit(management_url)
    if url.scheme not in ("http", "https"):
        raise TopologyProblem(f"{url.scheme!r} is no management URL", "Use http or https")
    place = f"{url.hostname}:{url.port}" if url.port else f"{url.hostname}"
    credentials = b64encode(f"{url.username or ''}:{url.password or ''}".encode()).decode()
    request = Request(
        f"{url.scheme}://{place}{url.path.rstrip('/')}/api/{path}",
        data=json.dumps(body).encode(),
        method="PUT",
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        # Directly, as AMQP goes: no proxy of the environment sees a password.
        with build_opener(ProxyHandler({})).open(request, timeout=_TIMEOUT_SECONDS):
            return
    except HTTPError as error:
        raise TopologyProblem(
            f"the management API answers {error.code} to {path}",
            "Use an administrator's credentials in the management URL",
        ) from error
    except (URLError, OSError) as error:
        raise BrokerUnavailable(f"the management API at {place} does not answer") from error
