"""Questions that a language model writes for passages: pairs for text that has no structure."""
