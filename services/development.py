"""What `make up` and `forebay dev` begin with: open to anybody who reaches it.

Rules: file and variables win over it; each opening in it is said when it is used (`advice`).
"""

from collections.abc import Mapping
from typing import Any, Final

_OPEN: Final[Mapping[str, Any]] = {
    "history_size": 100,
    "history_ttl": "10m",
    "force_recovery": True,
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_publish_for_client": True,
    "allow_publish_for_anonymous": True,
    "allow_history_for_client": True,
    "allow_history_for_anonymous": True,
    "presence": True,
    "join_leave": True,
    "allow_presence_for_client": True,
    "allow_presence_for_anonymous": True,
}

DEVELOPMENT: Final[Mapping[str, Any]] = {
    "client": {
        "allow_anonymous_connect_without_token": True,
        "allowed_origins": [
            f"{scheme}://{host}:*"
            for scheme in ("http", "https")
            for host in ("localhost", "127.0.0.1", "[::1]")
        ]
        + ["null"],
    },
    "channel": {"unknown_namespace": "without_namespace"},
    "without_namespace": _OPEN,
    # What the demo page's bursts go to: answered once they are in the pool, however full it is.
    "namespace": [{**_OPEN, "name": "burst", "reply": "queued", "history_size": 1_000}],
    "page": {"enabled": True},
    "plain": {"enabled": True},
    "uni_websocket": {"enabled": True},
    "uni_sse": {"enabled": True},
    "uni_http_stream": {"enabled": True},
}
