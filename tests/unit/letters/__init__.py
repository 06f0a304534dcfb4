"""What commands do with dead letters, on values and on the embedded node."""
