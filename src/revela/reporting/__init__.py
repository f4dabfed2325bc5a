"""One report of everything that was measured: a page without a network, and its Markdown twin."""
