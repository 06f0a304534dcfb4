"""Autobahn's fuzzing client against the very WebSocket stack of the front: `make autobahn`."""
