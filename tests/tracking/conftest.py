"""A project whose runs go to a store of its own."""

from stores import prepared, project, served, server, stored

__all__ = ["prepared", "project", "served", "server", "stored"]
