"""The examples, as strangers meet them."""
