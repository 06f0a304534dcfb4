"""A team's app in a whole deployment: what its users see, whatever handlers and workers do."""
