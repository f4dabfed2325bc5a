"""Clean documents -> chunks of bounded length -> groups of B chunks that are trained together."""
