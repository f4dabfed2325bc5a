"""What `prepare` puts into the folder that travels, one kind of thing a file."""

PART_MIB = 60
"""Of a part, unless asked otherwise: what reaches a GPU machine in one go."""

PYTHON_GROUPS = 12_000
"""Groups of the installed packages' source, unless asked otherwise: more than minutes can learn from."""
