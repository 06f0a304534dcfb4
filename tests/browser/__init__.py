"""The demo page in a real browser, over the embedded broker and over RabbitMQ."""
