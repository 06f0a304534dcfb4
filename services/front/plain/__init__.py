"""Plain WebSockets: clients that know no protocol, only text."""
