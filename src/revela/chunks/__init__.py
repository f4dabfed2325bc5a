"""Clean documents -> chunks of a bounded number of tokens, each with a first part that serves as a query."""
