"""App processes, as a worker runs them: real ones, with apps that behave and apps that do not."""
