"""Speed and memory against a plain reference; a part of the clone, not of the installed package."""
