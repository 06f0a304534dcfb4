"""Real processes: fronts, workers and a RabbitMQ node, for tests that look at them from outside."""
