"""What the team's handlers use."""


def is_spam(text: str) -> bool:
    """Tell whether nobody wants to read this."""
    return "spam" in text
