"""What a front counts about itself.

Rules: attributes that are added to in passing; see `services.metrics`.
"""

from services.metrics import LabelledTally, Measure, Spread, Tally

# From the fastest round trip measured on an idle machine to where the client is told that the
# outcome is unknown.
_LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)


class Measures:
    """A front process's counters."""

    def __init__(self) -> None:
        self.connects = Tally("front_connects", "Sessions that connected.")
        self.commands = Tally("front_commands", "Commands received.")
        self.entries = Tally("front_entries", "Publishes taken and handed to the producer.")
        self.publications = Tally(
            "front_publications", "Publications read that somebody here was subscribed to."
        )
        self.deliveries = Tally("front_deliveries", "Publications offered to sessions.")
        self.refusals = LabelledTally("front_refusals", "Commands answered with an error.", "code")
        self.disconnects = LabelledTally(
            "front_disconnects", "Sessions ended by the server.", "code"
        )
        self.rejected_handshakes = LabelledTally(
            "front_rejected_handshakes", "Connections refused before a session began.", "reason"
        )
        self.recoveries = LabelledTally(
            "front_recoveries", "Subscribes that asked for what was missed.", "outcome"
        )
        self.late_refusals = Tally(
            "front_late_refusals", "Publishes answered as queued and refused afterwards."
        )
        self.presence_questions = Tally(
            "front_presence_questions", "Messages that asked the other fronts who is in channels."
        )
        self.presence_unanswered = Tally(
            "front_presence_unanswered", "Those that a live front did not answer in time."
        )
        self.lost_movements = Tally(
            "front_lost_movements", "Joins and leaves that there was no room to tell of."
        )
        self.calls = Tally("front_calls", "Calls (rpc) taken and handed to the producer.")
        self.sends = Tally(
            "front_sends", "Messages to the server taken and handed to the producer."
        )
        self.lost_sends = Tally(
            "front_lost_sends", "Messages to the server that nobody took, which no client is told."
        )
        self.lost_leavings = Tally(
            "front_lost_leavings", "Clients of whose leaving the app could not be told."
        )
        self.orders = LabelledTally(
            "front_orders", "What orders did to sessions here, one by one.", "outcome"
        )
        self.hooks = LabelledTally(
            "front_hooks", "Questions to connect and subscribe handlers, by what came.", "outcome"
        )
        self.hook_seconds = Spread(
            "front_hook_seconds", "From such a question to its answer.", _LATENCY_BOUNDS
        )
        self.publish_seconds = Spread(
            "front_publish_seconds", "From a publish to its answer.", _LATENCY_BOUNDS
        )

    def all(self) -> list[Measure]:
        """Every one of them."""
        return list(vars(self).values())
