"""From a registered version back to its commit, its data and its scores."""
