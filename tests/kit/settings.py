"""Settings that the kit's tests share."""

from typing import Any

CHAT: dict[str, Any] = {
    "name": "chat",
    "history_size": 10,
    "history_ttl": "10m",
    "presence": True,
    "join_leave": True,
    "allow_subscribe_for_client": True,
    "allow_publish_for_subscriber": True,
    "allow_history_for_subscriber": True,
    "allow_presence_for_subscriber": True,
}
SETTINGS: dict[str, Any] = {
    "namespace": [
        CHAT,
        {"name": "closed"},
        {
            "name": "bytes",
            "data": "binary",
            "allow_subscribe_for_client": True,
            "allow_publish_for_client": True,
        },
    ]
}
