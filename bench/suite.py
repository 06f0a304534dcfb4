"""The parts of the bench: which runs, in which order, and what is divided by what.

Rules: what is compared runs in turns (A B A B), because other load on the machine comes and goes;
of the rounds the median counts, and a ratio is of runs beside each other.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from bench import fanout
from bench.baseline import run_baseline
from bench.fanout import Fanout
from bench.hops import measure_hops
from bench.latency import measure_latency
from bench.memory import FEWER, MORE, measure_memory
from bench.section import Claim, Figure, Section
from bench.stack import Stack, broadcast_loop
from bench.throughput import Load, Throughput, measure_throughput
from bench.usage import Usage

FEW_PUBLISHERS, MANY_PUBLISHERS = Load(100, 10), Load(1_000, 1)
KILOBYTE = 1_000.0
# Readers and the broker need a moment after a load until they are idle again.
REST_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 3
    seconds: float = 5.0
    warm_up_seconds: float = 2.0
    probes: int = 200
    pause_seconds: float = 0.01


QUICK = Plan(rounds=1, seconds=2.0, warm_up_seconds=1.0, probes=50)


async def throughput(stack: Stack, plan: Plan) -> Section:
    """Durable throughput against the baseline."""
    baselines: list[float] = []
    baseline_usages: list[tuple[Usage, int]] = []
    loads = (FEW_PUBLISHERS, MANY_PUBLISHERS)
    runs: dict[Load, list[Throughput]] = {load: [] for load in loads}
    async with stack.front() as (endpoint, front_pid):
        for _ in range(plan.rounds):
            baseline = await run_baseline(
                stack.amqp_url, stack.node_pid, plan.seconds, plan.warm_up_seconds
            )
            baselines.append(baseline.per_second)
            baseline_usages.append((baseline.usage, baseline.publications))
            for load in loads:
                await asyncio.sleep(REST_SECONDS)
                run = await measure_throughput(
                    endpoint,
                    load,
                    {"front": front_pid, **stack.pids},
                    plan.seconds,
                    plan.warm_up_seconds,
                )
                runs[load].append(run)
            await asyncio.sleep(REST_SECONDS)
    rates = {load: [run.per_second for run in runs[load]] for load in loads}
    return Section(
        "Durable throughput, 50 channels with a subscriber each, 200-byte bodies",
        [
            _figure("plain aio-pika, 200 in flight", baselines, "publications/s", is_ours=False),
            *(_figure(f"Forebay, {load}", rates[load], "publications/s") for load in loads),
        ],
        [
            Claim(
                f"{FEW_PUBLISHERS}: times the baseline", _ratio(rates[loads[0]], baselines), 8, "x"
            ),
            Claim(
                f"{MANY_PUBLISHERS}: times the baseline", _ratio(rates[loads[1]], baselines), 4, "x"
            ),
            Claim(f"{FEW_PUBLISHERS}", median(rates[loads[0]]), 15_000, "publications/s"),
            Claim("the baseline itself", median(baselines), 1_500, "publications/s"),
        ],
        {
            "plain aio-pika": _costs(baseline_usages),
            **{
                f"Forebay, {load}": _costs((run.usage, run.publications) for run in runs[load])
                for load in loads
            },
        },
        [_describe(load, runs[load]) for load in loads],
    )


async def latency(stack: Stack, plan: Plan) -> Section:
    """Idle publish to delivery against the two raw broker hops."""
    ours: list[float] = []
    queue: list[float] = []
    stream: list[float] = []
    hops: list[float] = []
    async with stack.front() as (endpoint, _):
        await asyncio.sleep(REST_SECONDS)
        await measure_latency(endpoint, plan.probes // 10, plan.pause_seconds)  # warms up
        for _ in range(plan.rounds):
            raw = await measure_hops(stack.amqp_url, plan.probes, plan.pause_seconds)
            queue.append(median(raw.queue_ms))
            stream.append(median(raw.stream_ms))
            hops.append(raw.sum_ms)
            ours.append(median(await measure_latency(endpoint, plan.probes, plan.pause_seconds)))
    return Section(
        "Idle latency, publish to delivery, median",
        [
            _figure("raw hop: quorum queue", queue, "ms", is_ours=False),
            _figure("raw hop: stream", stream, "ms", is_ours=False),
            _figure("both raw hops", hops, "ms", is_ours=False),
            _figure("Forebay", ours, "ms"),
        ],
        [Claim("times both raw hops", _ratio(ours, hops), 2, "x", is_upper_limit=True)],
    )


async def fan_out(stack: Stack, plan: Plan) -> Section:
    """One channel to 1,000 subscribers against Node's broadcast loop."""
    ours: dict[int, list[Fanout]] = {1: [], 10: []}
    theirs: dict[int, list[Fanout]] = {1: [], 10: []}
    for _ in range(plan.rounds):
        for together in (1, 10):
            # One server at a time: an idle neighbour with 1,000 connections is not free.
            async with broadcast_loop() as (endpoint, pid):
                theirs[together].append(
                    await fanout.measure_broadcast_loop(
                        endpoint, {"server": pid}, together, plan.seconds
                    )
                )
            async with stack.front() as (endpoint, pid):
                ours[together].append(
                    await fanout.measure_forebay(endpoint, stack, pid, together, plan.seconds)
                )
    names = {1: "one at a time", 10: "ten together"}
    return Section(
        "Fan-out of one channel to 1,000 subscribers",
        [
            figure
            for together, name in names.items()
            for figure in (
                _figure(
                    f"Node ws, {name}", _rates(theirs[together]), "deliveries/s", is_ours=False
                ),
                _figure(f"Forebay, {name}", _rates(ours[together]), "deliveries/s"),
            )
        ],
        [
            Claim(
                f"{name}: times Node ws",
                _ratio(_rates(ours[together]), _rates(theirs[together])),
                wanted,
                "x",
            )
            for (together, name), wanted in zip(names.items(), (1.3, 8.0), strict=True)
        ],
        {
            f"{who}, {name}": _costs((run.usage, run.deliveries) for run in runs[together])
            for together, name in names.items()
            for who, runs in (("Node ws", theirs), ("Forebay", ours))
        },
        [
            _describe_fanout(f"{who}, {name}", runs[together])
            for together, name in names.items()
            for who, runs in (("Node ws", theirs), ("Forebay", ours))
        ],
    )


async def memory(stack: Stack, _: Plan) -> Section:
    """Resident memory of an idle session."""
    async with AsyncExitStack() as opened:
        endpoint, pid = await opened.enter_async_context(stack.front())
        found = await measure_memory(endpoint, pid)
    kilobytes = found.bytes_a_session / KILOBYTE
    return Section(
        "Memory of a front an idle session with one subscription",
        [_figure("Forebay", [kilobytes], "KB a session")],
        [Claim("KB a session", kilobytes, 20, "KB", is_upper_limit=True)],
        remarks=[
            f"Resident: {found.fewer_bytes / 1e6:.1f} MB with {FEWER:,} sessions, "
            f"{found.more_bytes / 1e6:.1f} MB with {MORE:,}."
        ],
    )


def _figure(label: str, rounds: list[float], unit: str, *, is_ours: bool = True) -> Figure:
    return Figure(label, median(rounds), unit, is_ours, rounds)


def _rates(runs: Iterable[Fanout]) -> list[float]:
    return [run.per_second for run in runs]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbouring runs."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def _costs(runs: Iterable[tuple[Usage, int]]) -> dict[str, float]:
    """CPU microseconds each, the median over rounds for each process."""
    found = [usage.microseconds_each(count) for usage, count in runs]
    return {name: median(each[name] for each in found) for name in found[0]}


def _describe(load: Load, runs: Sequence[Throughput]) -> str:
    typical = median(run.latency_ms[0] for run in runs)
    slowest = median(run.latency_ms[1] for run in runs)
    text = f"{load}: publish to delivery {typical:.1f} ms median, {slowest:.1f} ms p99"
    broken = [run for run in runs if not run.is_complete]
    if not broken:
        return f"{text}; every publication accepted and delivered once."
    counts = ", ".join(
        f"{run.sent} sent, {run.accepted} accepted, {run.refused} refused, "
        f"{run.delivered} delivered"
        for run in broken
    )
    return f"{text}; NOT COMPLETE: {counts}."


def _describe_fanout(name: str, runs: Sequence[Fanout]) -> str:
    share = median(run.usage.share("server") for run in runs)
    generator = median(run.usage.share("generator") for run in runs)
    joined = median(run.publications_a_read for run in runs)
    size = median(run.frame_bytes for run in runs)
    complete = all(run.is_complete for run in runs)
    return (
        f"{name}: frames of {size:.0f} bytes, server at {share:.0%} of a core, generator at "
        f"{generator:.0%}, {joined:.1f} publications a read, "
        f"{'all receivers got the same' if complete else 'NOT COMPLETE'}."
    )
