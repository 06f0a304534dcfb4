"""Sentences about settings that are valid: what they open, and what in them would surprise.

Rules: a sentence names the setting to change, and never a secret.

Not here: what is wrong (`settings`).
"""

import ipaddress
from collections.abc import Iterator

from services.settings import ChannelOptions, Config

# RFC 7518 §3.2: a key as long as the hash's output, which is 32 bytes for HS256.
HMAC_KEY_BYTES = 32


def describe_openings(config: Config) -> list[str]:
    """A sentence for each thing these settings open to people without a token or to web pages."""
    client, options = config.client, config.without_namespace
    one_way = [
        f"{name}.enabled"
        for name in ("uni_websocket", "uni_sse", "uni_http_stream")
        if getattr(config, name).enabled
    ]
    wide = [origin for origin in client.allowed_origins if origin.endswith(":*")]
    statements = (
        (client.insecure, "Anybody may connect and do everything", "client.insecure"),
        (
            client.allow_anonymous_connect_without_token,
            "Clients connect without a token",
            "client.allow_anonymous_connect_without_token",
        ),
        (
            options.allow_subscribe_for_anonymous and options.allow_subscribe_for_client,
            "Anonymous clients subscribe to any channel",
            "without_namespace.allow_subscribe_for_anonymous",
        ),
        (
            options.allow_publish_for_anonymous,
            "Anonymous clients publish there",
            "without_namespace.allow_publish_for_anonymous",
        ),
        (
            options.allow_history_for_anonymous,
            "Anonymous clients read the history there",
            "without_namespace.allow_history_for_anonymous",
        ),
        (
            options.allow_presence_for_anonymous,
            "Anonymous clients see who is there",
            "without_namespace.allow_presence_for_anonymous",
        ),
        (
            config.channel.unknown_namespace != "refuse",
            "Channels of namespaces that are not configured are treated as if without one",
            "channel.unknown_namespace",
        ),
        (
            config.plain.enabled,
            "Clients without the client protocol may connect too",
            "plain.enabled",
        ),
        (
            bool(one_way),
            "Clients that are only told things may connect too, without the client protocol",
            ", ".join(one_way),
        ),
        (config.page.enabled, "Anybody sees the demo page and its figures", "page.enabled"),
        (
            bool(wide),
            f"Web pages on any port may connect: {', '.join(wide)}",
            "client.allowed_origins",
        ),
        (
            "null" in client.allowed_origins,
            'Local files and sandboxed web pages ("null") may connect',
            "client.allowed_origins",
        ),
    )
    return [f"{sentence} ({setting})." for is_so, sentence, setting in statements if is_so]


def describe_surprises(config: Config) -> list[str]:
    """A sentence for each thing that is allowed and may not be what was meant."""
    return [
        *_about_connecting(config),
        *_about_address(config),
        *_about_asking(config),
        *_about_questions(config),
        *_about_what_follows(config),
        *_about_channels(config),
    ]


def _about_connecting(config: Config) -> Iterator[str]:
    client = config.client
    if not config.rabbitmq.url:
        yield "rabbitmq.url: not set; front and worker cannot start without it."
    is_open = client.insecure or client.allow_anonymous_connect_without_token
    if not client.token.secret_keys and not is_open:
        yield "client.token.hmac_secret_key: not set, so no token is valid and nobody can connect."
    tokens = {"client.token": client.token, "client.subscription_token": client.subscription_token}
    for name, token in tokens.items():
        if token is None:
            continue
        for setting in ("hmac_secret_key", "hmac_previous_secret_key"):
            length_bytes = len(getattr(token, setting).encode())
            if 0 < length_bytes < HMAC_KEY_BYTES:
                yield (
                    f"{name}.{setting}: {length_bytes} bytes can be guessed; use at least"
                    f" {HMAC_KEY_BYTES} random ones (openssl rand -hex 32)."
                )
    if not client.allowed_origins:
        yield "client.allowed_origins: empty, so no web page can connect; other clients can."


def _about_address(config: Config) -> Iterator[str]:
    host = config.front.host
    if _is_loopback(host):
        return
    yield (
        f"front.host: {host} is reached from other machines, where connections are plain ws://;"
        " a proxy in front must end TLS."
    )
    open_to_all = {
        "client.insecure": config.client.insecure,
        "client.allow_anonymous_connect_without_token": (
            config.client.allow_anonymous_connect_without_token
        ),
        "plain.enabled": config.plain.enabled,
        "page.enabled": config.page.enabled,
    }
    names = [name for name, is_open in open_to_all.items() if is_open]
    if names:
        yield f"front.host: from other machines, too, {host} offers what {', '.join(names)} opens."


def _about_asking(config: Config) -> Iterator[str]:
    asked = [
        name
        for name, is_asked in (
            ("app.connect_handler", config.app.connect_handler),
            ("subscribe_handler", config.asks_about_subscribes),
        )
        if is_asked
    ]
    if not asked:
        return
    names = " and ".join(asked)
    if not config.app.path:
        yield f"app.path: empty, so no worker answers ({names}), unless it is given --app."
    if config.app.hook_unanswered == "allow":
        yield (
            "app.hook_unanswered: clients come in without being asked about whenever no worker"
            f" answers ({names})."
        )


def _about_questions(config: Config) -> Iterator[str]:
    app, client = config.app, config.client
    if app.connect_headers and not app.connect_handler:
        yield "app.connect_headers does nothing without app.connect_handler."
    if config.asks_about_subscribes and app.hook_timeout >= client.pong_timeout:
        yield (
            "app.hook_timeout: not shorter than client.pong_timeout, so a client that waits for a"
            " subscribe handler can be taken for gone."
        )


def _about_what_follows(config: Config) -> Iterator[str]:
    rabbit = config.rabbitmq
    if config.app.path and rabbit.log_max_bytes < 2 * rabbit.inbound_max_bytes:
        yield (
            "rabbitmq.log_max_bytes: less than twice rabbitmq.inbound_max_bytes, so what handlers"
            " publish besides may find the pool full for longer than the log keeps it."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _about_channels(config: Config) -> Iterator[str]:
    options = config.without_namespace
    is_open = options.allow_subscribe_for_client or options.subscribe_handler
    if is_open or config.client.insecure:
        yield from _about_options("without_namespace", options, config)
    for namespace in config.namespace:
        yield from _about_options(f"namespace {namespace.name}", namespace, config)


def _about_options(label: str, options: ChannelOptions, config: Config) -> Iterator[str]:
    yield from _about_recovery(label, options)
    if options.history_ttl > config.rabbitmq.log_max_age:
        yield (
            f"{label}: history_ttl is longer than rabbitmq.log_max_age, from which a front that"
            " starts reads the history."
        )
    for verb in ("publish", "history", "presence"):
        may_anonymous = getattr(options, f"allow_{verb}_for_anonymous")
        may_others = (
            getattr(options, f"allow_{verb}_for_client"),
            getattr(options, f"allow_{verb}_for_subscriber"),
        )
        if may_anonymous and not any(may_others):
            yield (
                f"{label}: allow_{verb}_for_anonymous does nothing without"
                f" allow_{verb}_for_client or allow_{verb}_for_subscriber."
            )
    if options.delta_publish and not options.allowed_delta_types:
        yield f"{label}: delta_publish does nothing without allowed_delta_types."
    if options.allow_subscribe_for_anonymous and not options.allow_subscribe_for_client:
        yield (
            f"{label}: allow_subscribe_for_anonymous does nothing without"
            " allow_subscribe_for_client."
        )


def _about_recovery(label: str, options: ChannelOptions) -> Iterator[str]:
    if not options.has_history:
        yield f"{label}: no history, a reconnecting client misses messages (history_size)."
    elif not options.has_recovery:
        yield f"{label}: history, but a reconnecting client does not get it (force_recovery)."
    if options.conflate and options.has_recovery and not options.recovers_newest:
        yield (
            f"{label}: conflate, but a reconnecting client gets all that it missed"
            ' (force_recovery_mode = "cache").'
        )
