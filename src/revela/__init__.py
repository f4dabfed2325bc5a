"""Train a dense retriever on raw text with Revela: raw text in, a registered retriever out."""
