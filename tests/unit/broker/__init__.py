"""What `broker/` does without a broker, or on the embedded one."""
