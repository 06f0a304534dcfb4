"""Measures Forebay: throughput, latency, fan-out and memory, as ratios within one run.

    python -m bench            # everything; results in bench/results/
    python -m bench latency    # one part

The process that runs this is also the load generator, so its CPU is part of every measurement.
"""
