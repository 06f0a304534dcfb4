"""The settings: file, variables, defaults, and everything that can be wrong with them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services.config import (
    DEVELOPMENT,
    Config,
    ConfigError,
    describe_openings,
    development_config,
    load_config,
    load_management_url,
    load_passwords,
)
from services.units import Rate

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str = "", environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "forebay.toml"
        path.write_text(text, "utf-8")
        return load_config(path, environ or {})

    return from_text


def problems(load: Load, text: str = "", environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, environ)
    return list(caught.value.problems)


EXAMPLE = """
[rabbitmq]
url = "amqp://front:secret@rabbit:5672/forebay"
[client]
token.hmac_secret_key = "key"
allowed_origins = ["https://example.org"]
[lanes.main]
partitions = 8
[[namespace]]
name = "chat"
history_size = 100
history_ttl = "10m"
force_recovery = true
allow_publish_for_subscriber = true
"""


def test_the_file_is_read(load: Load) -> None:
    config = load(EXAMPLE)
    assert config.rabbitmq.url == ("amqp://front:secret@rabbit:5672/forebay",)
    assert config.client.token.secret_keys == ("key",)
    assert config.lanes["main"].partitions == 8
    assert config.namespace[0].history_ttl == 600
    assert config.longest_history_ttl == 600


def test_nothing_is_open_by_default(load: Load) -> None:
    config = load()
    assert describe_openings(config) == []
    assert config.client.allowed_origins == ()
    assert config.client.token.secret_keys == ()
    options = config.without_namespace
    # Whoever is let in hears its own; nobody is let in by it.
    assert not any(value is True for name, value in options if name != "echo")


def test_the_lane_main_always_exists(load: Load) -> None:
    assert load().lanes["main"].partitions == 4
    config = load("[lanes.bulk]\npartitions = 2")
    assert {name: lane.partitions for name, lane in config.lanes.items()} == {"main": 4, "bulk": 2}


def test_a_variable_wins_over_the_file(load: Load) -> None:
    config = load(
        EXAMPLE,
        {
            "FOREBAY_AMQP_URL": "amqp://a, amqps://b:1/x",
            "FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": "other",
            "FOREBAY_CLIENT__INSECURE": "true",
            "FOREBAY_CLIENT__ALLOWED_ORIGINS": '["https://a.org", "null"]',
            "FOREBAY_FRONT__PORT": "9000",
            "FOREBAY_NAMESPACE": '[{"name": "news", "history_size": 1, "history_ttl": "1s"}]',
            "FOREBAY_LANES__BULK__PARTITIONS": "3",
            "HOME": "/",
        },
    )
    assert config.rabbitmq.url == ("amqp://a", "amqps://b:1/x")
    assert config.client.token.hmac_secret_key == "other"
    assert config.client.insecure
    assert config.client.allowed_origins == ("https://a.org", "null")
    assert config.front.port == 9000
    assert [namespace.name for namespace in config.namespace] == ["news"]
    assert config.lanes["bulk"].partitions == 3
    assert config.lanes["main"].partitions == 8


def test_the_full_name_wins_over_its_short_form(load: Load) -> None:
    config = load("", {"FOREBAY_AMQP_URL": "amqp://short", "FOREBAY_RABBITMQ__URL": "amqp://full"})
    assert config.rabbitmq.url == ("amqp://full",)


def test_every_problem_is_reported_at_once(load: Load) -> None:
    found = problems(
        load,
        """
        [rabbitmqq]
        [front]
        prot = 5
        port = "x"
        [client]
        ping_interval = "soon"
        token.hmac_secret_kye = "a"
        allowed_origins = "https://example.org/"
        [lanes.chat]
        partitions = 2
        [[namespace]]
        name = "chat"
        history_size = 100
        [[namespace]]
        history_tl = 5
        [[namespace]]
        name = "b"
        lane = "chta"
        history_size = 5
        history_ttl = "10h"
        """,
        {"FOREBAY_CLIENTS__X": "1", "FOREBAY_PROT": "1", "FOREBAY_AMQP_URL": "http://u:secret@h"},
    )
    for begins in (
        "FOREBAY_CLIENTS__X: no such setting",
        "FOREBAY_PROT: no such setting; did you mean FOREBAY_FRONT__PORT?",
        "rabbitmqq: no such setting; did you mean rabbitmq?",
        "rabbitmq.url: each URL begins with amqp",
        "front.prot: no such setting; did you mean port?",
        "front.port: ",
        "client.ping_interval: write a duration",
        "client.token.hmac_secret_kye: no such setting; did you mean hmac_secret_key?",
        "client.allowed_origins: each is",
        "namespace[chat]: history needs both",
        "namespace[1].name: Field required",
        "namespace[1].history_tl: no such setting; did you mean history_ttl?",
        'namespace[b].lane: there is no lane "chta"',
        "namespace[b].history_ttl: longer than channel.history_meta_ttl",
    ):
        assert any(problem.startswith(begins) for problem in found), begins
    assert "secret@" not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("[front]\nport = 70000", "front.port: "),
        ("[client]\npong_timeout = 30", "client: pong_timeout must be shorter"),
        ("[client]\nchannel_limit = 0", "client.channel_limit: "),
        ("[client]\nallowed_origins = ['*']", "client.allowed_origins: "),
        ("[client]\nallowed_origins = ['https://*.example.org']", "client.allowed_origins: "),
        ("[client]\nallowed_origins = ['https://u@example.org']", "client.allowed_origins: "),
        ("[lanes.main]\npartitions = 65", "lanes.main.partitions: "),
        (
            "[lanes.a]\npartition = 1",
            "lanes.a.partition: no such setting; did you mean partitions?",
        ),
        ("[lanes.'a.b']\npartitions = 1", "lanes: a lane's name"),
        ("[without_namespace]\nforce_recovery = true", "without_namespace: recovery needs history"),
        ("[without_namespace]\ndelta_publish = true", "without_namespace: delta_publish needs"),
        ("[without_namespace]\nallowed_delta_types = ['x']", "without_namespace.allowed_delta_"),
        (
            "[without_namespace]\nforce_recovery_mode = 'cache'",
            "without_namespace: force_recovery_mode needs force_recovery or allow_recovery",
        ),
        ("[without_namespace]\nforce_recovery_mode = 'x'", "without_namespace.force_recovery_mode"),
        ("[without_namespace]\nauto_cache_recover = true", "without_namespace: auto_cache_recover"),
        ("[without_namespace]\nchannel_regex = '('", "without_namespace.channel_regex: "),
        ("[without_namespace]\nreply = 'soon'", "without_namespace.reply: "),
        ("[without_namespace]\nconflate = '9ms'", "without_namespace.conflate: it is 0"),
        ("[without_namespace]\nconflate = '61s'", "without_namespace.conflate: "),
        ("[[namespace]]\nname = 'a'\n[[namespace]]\nname = 'a'", "namespace[a]: configured twice"),
        ("[[namespace]]\nname = 'a:b'", "namespace[a:b].name: "),
        ("[without_namespace]\nlane = 'b'", "without_namespace.lane: there is no lane"),
        ("[FRONT]\nport = 1", "FRONT: no such setting"),
        ("namespace = 5", "namespace: "),
        ("front = 5", "front: "),
    ],
)
def test_a_setting_out_of_bounds_is_a_problem(load: Load, text: str, begins: str) -> None:
    [problem] = problems(load, text)
    assert problem.startswith(begins)


def test_a_namespace_in_a_lane_that_is_wrong_is_no_problem_of_its_own(load: Load) -> None:
    text = "[lanes.bulk]\npartitions = 0\n[[namespace]]\nname = 'a'\nlane = 'bulk'"
    assert [problem.split(":")[0] for problem in problems(load, text)] == ["lanes.bulk.partitions"]


def test_a_mistyped_variable_is_answered_with_the_name_that_was_meant(load: Load) -> None:
    for mistyped, meant in (
        ("FOREBAY_CLIENT__CHANEL_LIMIT", "FOREBAY_CLIENT__CHANNEL_LIMIT"),
        ("FOREBAY_CLIENT__TOKEN__HMAC_SECRET", "FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY"),
        ("FOREBAY_CONFIGS", "FOREBAY_CONFIG"),
        ("FOREBAY_FRONT__PORT__X", "FOREBAY_FRONT__PORT"),
    ):
        expected = f"{mistyped}: no such setting; did you mean {meant}?"
        assert problems(load, "", {mistyped: "1"}) == [expected]


def test_a_table_in_a_variable_joins_the_settings_beside_it(load: Load) -> None:
    config = load(
        "[client.token]\nissuer = 'me'",
        {
            "FOREBAY_CLIENT__TOKEN": '{"audience": "you"}',
            "FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": "{]",
            "FOREBAY_CLIENT__SUBSCRIPTION_TOKEN__HMAC_SECRET_KEY": "123",
            "FOREBAY_CLIENT__ALLOWED_ORIGINS": "null",
        },
    )
    token = config.client.token
    assert (token.issuer, token.audience, token.hmac_secret_key) == ("me", "you", "{]")
    assert config.client.token_of_subscriptions.hmac_secret_key == "123"
    assert config.client.allowed_origins == ("null",)


def test_a_text_that_is_no_json_is_a_problem_of_its_setting(load: Load) -> None:
    [problem] = problems(load, "", {"FOREBAY_NAMESPACE": "[chat"})
    assert problem.startswith("namespace: ")


def test_passwords_and_the_management_url_are_no_settings(load: Load) -> None:
    environ = {"FOREBAY_FRONT_PASSWORD": "a", "FOREBAY_MANAGEMENT_URL": "http://b", "X": "c"}
    load("", environ)
    assert load_passwords(environ) == {"front": "a"}
    assert load_management_url(environ) == "http://b"
    assert load_management_url({}) is None


def test_a_broken_file_is_a_problem_beside_the_others(load: Load) -> None:
    found = problems(load, "[front\n", {"FOREBAY_FRONT__PORT": "x"})
    assert len(found) == 2
    assert "not TOML" in found[0]


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="no such file"):
        load_config(None, {"FOREBAY_CONFIG": str(tmp_path / "none.toml")})


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()


def test_variables_of_other_tools_are_left_alone(load: Load) -> None:
    load("", {"FOREBAY_INSTALL": "yes", "FOREBAY_CONFIG": "x"})
    load(
        "",
        {  # what Kubernetes sets beside a service called forebay
            "FOREBAY_SERVICE_HOST": "10.0.0.1",
            "FOREBAY_SERVICE_PORT": "8000",
            "FOREBAY_SERVICE_PORT_HTTP": "8000",
            "FOREBAY_PORT": "tcp://10.0.0.1:8000",
            "FOREBAY_PORT_8000_TCP": "tcp://10.0.0.1:8000",
            "FOREBAY_PORT_8000_TCP_PROTO": "tcp",
            "FOREBAY_PORT_8000_TCP_PORT": "8000",
            "FOREBAY_PORT_8000_TCP_ADDR": "10.0.0.1",
            "FOREBAY_FRONT_SERVICE_HOST": "10.0.0.2",
        },
    )


def test_secrets_are_not_shown(load: Load) -> None:
    shown = repr(load(EXAMPLE, {"FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": "hush"}))
    assert "hush" not in shown
    assert "secret@" not in shown


def test_development_says_what_it_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = development_config(None, {})
    said = "\n".join(describe_openings(config))
    for words in (
        "without a token",
        "subscribe to any",
        "publish",
        "history",
        "any port",
        "null",
        "uni_sse",
    ):
        assert words in said
    assert config.without_namespace.history_size == 100
    assert config.without_namespace.force_recovery


def test_file_and_variables_win_over_development(tmp_path: Path) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text("[client]\nallow_anonymous_connect_without_token = false\n")
    environ = {"FOREBAY_WITHOUT_NAMESPACE__HISTORY_SIZE": "7"}
    config = load_config(path, environ, defaults=DEVELOPMENT)
    assert not config.client.allow_anonymous_connect_without_token
    assert config.without_namespace.history_size == 7
    assert config.without_namespace.history_ttl == 600


# ---- schemas


def write_schema(tmp_path: Path, text: str, name: str = "chat.json") -> None:
    (tmp_path / "schemas").mkdir(exist_ok=True)
    (tmp_path / "schemas" / name).write_text(text, "utf-8")


WITH_SCHEMA = """
[[namespace]]
name = "chat"
schema = "schemas/chat.json"
"""


def test_a_schema_is_found_from_the_folder_of_the_settings_file(load: Load, tmp_path: Path) -> None:
    write_schema(tmp_path, '{"type": "object"}')
    file = load(WITH_SCHEMA).namespace[0].schema_file
    assert file is not None
    assert (Path(file.path), file.text) == (tmp_path / "schemas/chat.json", b'{"type": "object"}')


def test_a_schema_that_a_variable_names_is_found_from_the_working_directory(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_schema(tmp_path, "true")
    monkeypatch.chdir(tmp_path)
    config = load("", {"FOREBAY_WITHOUT_NAMESPACE__SCHEMA": "schemas/chat.json"})
    assert config.without_namespace.schema_file is not None
    assert load("", {"FOREBAY_WITHOUT_NAMESPACE__SCHEMA": ""}).without_namespace.schema_file is None


def test_a_schema_that_is_not_there_is_told_with_all_other_problems(
    load: Load, tmp_path: Path
) -> None:
    found = problems(load, WITH_SCHEMA + 'rate = "many"\n[front]\nport = -1\n')
    assert len(found) == 3
    assert f"namespace[chat].schema: {tmp_path}/schemas/chat.json: no such file" in found
    assert any(
        problem.startswith("namespace[chat].rate: write a rate such as") for problem in found
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON Schema, which is an object"),
        ('{"properties": {"text": {"type": "strin"}}}', "/properties/text/type"),
        ('{"$schema": "http://json-schema.org/draft-07/schema#"}', "$schema must be"),
        ('{"$ref": "other.json"}', "$ref can name a part of the same file alone"),
        ('{"$ref": "https://example.org/a"}', "$ref can name a part of the same file alone"),
        ('{"$ref": "#/$defs/none"}', "$ref can name a part of the same file alone"),
        ('{"properties": {"id": {"pattern": "(?=a)"}}}', "/properties/id/pattern: a regular"),
        ('{"pattern": "("}', "/pattern: a regular expression that is none"),
        ('{"format": "e-mail"}', "e-mail"),
        ('{"not":' * 600 + "{}" + "}" * 600, "Recursion limit"),
        (" " * 1024 * 1024 + "{}", "over 1048576 bytes"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_problem(
    load: Load, tmp_path: Path, text: str, words: str
) -> None:
    write_schema(tmp_path, text)
    (problem,) = problems(load, WITH_SCHEMA)
    assert problem.startswith(f"namespace[chat].schema: {tmp_path}/schemas/chat.json: ")
    assert words in problem


def test_a_folder_is_no_schema(load: Load, tmp_path: Path) -> None:
    (tmp_path / "schemas" / "chat.json").mkdir(parents=True)
    assert problems(load, WITH_SCHEMA)[0].endswith("chat.json: not a file")


def test_a_path_is_a_text(load: Load) -> None:
    (problem,) = problems(load, '[[namespace]]\nname = "chat"\nschema = 5\n')
    assert problem == "namespace[chat].schema: write the path of a file"


def test_parts_of_the_same_file_may_be_referred_to(load: Load, tmp_path: Path) -> None:
    write_schema(tmp_path, '{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}')
    assert load(WITH_SCHEMA).namespace[0].schema_file is not None


def test_bytes_have_no_schema(load: Load, tmp_path: Path) -> None:
    write_schema(tmp_path, "true")
    (problem,) = problems(load, WITH_SCHEMA + 'data = "binary"\n')
    assert problem.startswith('namespace[chat]: schema needs data = "json"')


def test_rates_are_read(load: Load) -> None:
    options = load('[without_namespace]\nrate = "100/s"\nuser_rate = "5/m"\n').without_namespace
    assert (options.rate, options.user_rate) == (Rate(100, 1), Rate(5, 60))
    assert load("", {"FOREBAY_WITHOUT_NAMESPACE__RATE": "7/h"}).without_namespace.rate == Rate(
        7, 3600
    )
