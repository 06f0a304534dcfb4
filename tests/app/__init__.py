"""The app process, driven as a worker does: by its socket and its page of memory."""
