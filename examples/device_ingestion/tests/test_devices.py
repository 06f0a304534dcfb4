"""What becomes of readings: written, alarmed of, refused, or dead letters."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from forebay import App
from forebay.testing import Kit, Server

from app import ALARMS, CELSIUS
from devices import DEVICES, measure

SETTINGS = Path(__file__).parent.parent / "forebay.toml"


def rows(path: Path) -> list[tuple[str, float]]:
    """Devices and degrees, as they were written."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT device, celsius FROM readings ORDER BY at").fetchall()


def publish(server: Server, value: float, unit: str, *, at: float = 1.0) -> None:
    """Have a device report."""
    device = server.client("device-01")
    device.publish("device:device-01", {"value": value, "unit": unit, "at": at})
    assert device.refused is None


def test_readings_are_written_in_celsius(forebay: Server, database_path: Path) -> None:
    publish(forebay, 20, "C")
    publish(forebay, 212, "F", at=2.0)
    assert rows(database_path) == [("device-01", 20.0), ("device-01", 100.0)]


def test_what_is_too_hot_is_an_alarm(forebay: Server) -> None:
    watcher = forebay.client()
    watcher.subscribe(ALARMS)
    publish(forebay, 80, "C")
    assert watcher.received(ALARMS) == []
    publish(forebay, 81, "C")
    assert watcher.received(ALARMS) == [{"device": "device-01", "at": 1.0, "celsius": 81.0}]


def test_a_reading_that_is_handled_twice_is_written_once(
    forebay_kit: Kit, forebay_app: App, database_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("after it was written")]

    def publish_besides(*_: object) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr("forebay.Publication.publish", publish_besides)
    with forebay_kit.run(forebay_app, config=SETTINGS) as server:
        publish(server, 99, "C")
    assert failures == []
    assert rows(database_path) == [("device-01", 99.0)]


def test_a_unit_that_nobody_thought_of_is_a_dead_letter(
    forebay_kit: Kit, forebay_app: App, database_path: Path
) -> None:
    with forebay_kit.run(forebay_app, config=SETTINGS, raise_failures=False) as server:
        publish(server, 300, "K")
        publish(server, 30, "C")
        (letter,) = server.dead
    assert (letter.reason, letter.channel) == ("failed", "device:device-01")
    assert "KeyError: 'K'" in letter.explanation
    assert rows(database_path) == [("device-01", 30.0)]


@pytest.mark.parametrize(
    ("channel", "reading"),
    [
        ("device:device-01", {"value": "hot", "unit": "C", "at": 1}),
        ("device:device-01", {"value": 20, "unit": "R", "at": 1}),
        ("device:device-02", {"value": 20, "unit": "C", "at": 1}),
    ],
)
def test_what_is_no_reading_of_the_device_is_kept_with_the_reason(
    channel: str, reading: object, forebay: Server, database_path: Path
) -> None:
    device = forebay.client("device-01")
    device.publish(channel, reading)
    assert device.refused is None  # it was answered when it was in the pool
    (letter,) = forebay.dead
    assert letter.reason == "refused"
    assert rows(database_path) == []


def test_the_simulated_devices_report_what_is_a_reading(
    forebay: Server, monkeypatch: pytest.MonkeyPatch, database_path: Path
) -> None:
    monkeypatch.setitem(CELSIUS, "K", lambda value: value - 273.15)
    for device in DEVICES:
        forebay.client(device).publish(f"device:{device}", measure(device))
    assert forebay.dead == []
    assert {device for device, _ in rows(database_path)} == set(DEVICES)
