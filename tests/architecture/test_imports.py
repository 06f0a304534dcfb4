"""Imports point down, a library stays under the folder that knows it, pure parts are pure."""

import ast

import pytest

from tests.architecture.source import Module, is_inside, modules

# Who puts the parts together, and so may import all of them.
ROOTS = (
    "services.front.__main__",
    "services.worker.__main__",
    "services.dev",
    "services.kit",
    "services.up",
)

# What is said to those who import the public package: to apps, and to their tests. A front makes
# the questions of its hooks and reads the answers; the worker passes them on.
SAID_TO_OTHERS = {
    "services.front": ("forebay.hooks",),
    "services.worker.handling": ("forebay.link", "forebay.pattern"),
    "services.kit": ("forebay.link", "forebay.pattern", "forebay.testing.control"),
}

# Implementations of the broker are chosen by the roots; all others know its promises only.
IMPLEMENTATIONS = ("broker.embedded", "broker.rabbitmq", "broker.local")

OURS = ("broker", "services", "forebay")
IMPURE = (
    "asyncio",
    "datetime",
    "logging",
    "os",
    "random",
    "secrets",
    "socket",
    "structlog",
    "time",
)

MODULES = modules()


def by_name(module: Module) -> str:
    return module.name


each_module = pytest.mark.parametrize("module", MODULES, ids=by_name)


def part_of(name: str) -> str:
    """The part of the design that a module belongs to."""
    if any(is_inside(name, root) for root in ROOTS):
        return "root"
    if any(is_inside(name, implementation) for implementation in IMPLEMENTATIONS):
        return "implementation"
    for part in ("front", "worker", "view", "wire"):
        if is_inside(name, f"services.{part}"):
            return part
    return {"services": "basics", "broker": "promises", "forebay": "public"}[name.split(".")[0]]


# From top to bottom. Basics are what front and worker share: settings, metrics, permissions, ...
MAY_IMPORT = {
    "root": ("root", "front", "worker", "basics", "view", "wire", "promises", "implementation"),
    "front": ("front", "basics", "view", "wire", "promises"),
    "worker": ("worker", "basics", "view", "wire", "promises"),
    "basics": ("basics", "view", "wire", "promises"),
    "view": ("view", "wire", "promises"),
    "wire": ("wire",),
    "implementation": ("implementation", "promises"),
    "promises": ("promises",),
}


def resolved(imported: str) -> str:
    """The module behind an import: `from broker.errors import X` imports broker.errors."""
    known = {module.name for module in MODULES}
    while imported not in known and "." in imported:
        imported = imported.rpartition(".")[0]
    return imported


@each_module
def test_imports_point_down(module: Module) -> None:
    part = part_of(module.name)
    if part == "public":
        return
    wrong = [
        f"{module.at(each.line)} imports {each.module}"
        for each in module.imports
        if each.module.split(".")[0] in OURS
        and not is_inside(each.module, "forebay")  # see below
        and part_of(resolved(each.module)) not in MAY_IMPORT[part]
    ]
    assert not wrong


@each_module
def test_the_broker_knows_no_client(module: Module) -> None:
    if module.is_in("broker"):
        assert not importing(module, "services", "forebay")


@each_module
def test_the_public_package_imports_the_others_only_late(module: Module) -> None:
    if module.is_in("forebay"):
        early = [each.module for each in module.imports if not each.is_late]
        assert not [name for name in early if name.split(".")[0] in ("broker", "services")]


def test_services_import_of_the_public_package_what_they_say_to_others_alone() -> None:
    wrong = [
        f"{module.at(each.line)} imports {each.module}"
        for module in MODULES
        if module.is_in("services")
        for each in module.imports
        if is_inside(each.module, "forebay")
        and not any(
            module.is_in(ours) and is_inside(each.module, said)
            for ours, all_said in SAID_TO_OTHERS.items()
            for said in all_said
        )
    ]
    assert not wrong


@each_module
def test_aiohttp_stays_under_the_front(module: Module) -> None:
    if not module.is_in("services.front"):
        assert not importing(module, "aiohttp")


@each_module
def test_the_amqp_client_stays_under_its_broker(module: Module) -> None:
    if not module.is_in("broker.rabbitmq"):
        assert not importing(module, "aio_pika", "aiormq", "pamqp")


@each_module
def test_only_the_settings_know_the_environment(module: Module) -> None:
    # broker.local and services.up build the environment of the processes that they start.
    if module.is_in("services.config", "broker.local", "services.up"):
        return
    reads = [
        module.at(node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert not reads
    assert not importing(module, "os.environ", "os.getenv")


@each_module
def test_wire_and_view_are_pure(module: Module) -> None:
    if not module.is_in("services.wire", "services.view"):
        return
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [
        module.at(node.lineno) for node in ast.walk(module.tree) if isinstance(node, waiting)
    ]
    assert not importing(module, *IMPURE)


def importing(module: Module, *names: str) -> list[str]:
    return [
        f"{module.at(each.line)} imports {each.module}"
        for each in module.imports
        if any(is_inside(each.module, name) for name in names)
    ]
