"""What `broker.interface` promises, held against every implementation."""
