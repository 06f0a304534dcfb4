"""The server of a team's tests: broker, worker and front in one process, whose time stands still.

It is a process of its own because our packages are called `services` and `broker`, and so may be
the team's. A test speaks to it as `forebay.testing.control` says.

Not here: what a test sees of it, and the team's handlers, which run in the test's process
(`forebay.testing`).
"""
