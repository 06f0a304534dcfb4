"""Measures Forebay: throughput, latency, fan-out and memory, as ratios within one run.

    python -m bench            # everything; results in bench/results/
    python -m bench latency    # one part

Two take minutes each and print their own tables (docs/slow-clients.md):

    python -m bench.slow_clients    # 1,000 clients that stop reading beside 1,000 that read
    python -m bench.jitter          # 2,000 clients whose connections are cut all the time

The process that runs this is also the load generator, so its CPU is part of every measurement.
"""
