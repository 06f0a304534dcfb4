"""A private RabbitMQ node for development, tests and benches.

Not here: anything a deployment uses. A production broker is yours to run; Forebay is given its URL.
"""
