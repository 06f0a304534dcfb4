"""The real workers, producers and fronts over the embedded broker, in simulated time.

    loop       virtual time; processes that can be frozen
    chance     one seed for all there is of time and randomness
    processes  what a deployment runs: workers, fronts, readers
    clients    who publishes and who subscribes
    nemesis    what goes wrong, when, and for how long
    archive    all that a log ever held
    truth      which of it counts, worked out without our own code
    seeds      a life lived and checked
    checks     what must hold
    world      all of it together: a seed's life from birth to rest
    mutants    rules of the product broken on purpose

Everything in a run comes from its seed. `python -m tests.simulation 0:2000` runs many and prints
those that fail; `python -m tests.simulation 17 --log` runs one and shows what the processes log.
FOREBAY_SIMULATION_SEEDS=2000 has pytest run so many.
"""
