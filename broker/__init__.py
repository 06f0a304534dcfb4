"""How Forebay's processes talk to each other. Knows no client and no payload."""
