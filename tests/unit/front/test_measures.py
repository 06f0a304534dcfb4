"""Measures come out in Prometheus's text format."""

from services.front.measures import Measures
from services.metrics import LabelledTally, Level, Spread, Tally, render_metrics


def test_each_kind_of_measure_is_rendered() -> None:
    tally = Tally("eggs", "Eggs laid.")
    tally.value += 3
    labelled = LabelledTally("refusals", "Refused.", "code")
    labelled.add(111)
    labelled.add(111, 2)
    spread = Spread("seconds", "How long.", (0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        spread.observe(seconds)
    level = Level("sessions", "Now.", lambda: 12)
    lines = render_metrics([tally, labelled, spread, level]).decode().splitlines()
    assert "forebay_eggs_total 3.0" in lines
    assert 'forebay_refusals_total{code="111"} 3.0' in lines
    assert 'forebay_seconds_bucket{le="0.1"} 2.0' in lines
    assert 'forebay_seconds_bucket{le="1.0"} 3.0' in lines
    assert 'forebay_seconds_bucket{le="+Inf"} 4.0' in lines
    assert "forebay_seconds_count 4.0" in lines
    assert "forebay_seconds_sum 7.65" in lines
    assert "forebay_sessions 12.0" in lines


def test_every_measure_of_a_front_has_a_name_of_its_own() -> None:
    measures = Measures().all()
    assert len({measure.name for measure in measures}) == len(measures)
    assert render_metrics(measures)
