"""`make up`: a broker, a worker and a front on this machine, from nothing to ready.

Not here: a deployment's supervisor (that is systemd, compose or Kubernetes), the embedded broker
(`forebay dev`).
"""
