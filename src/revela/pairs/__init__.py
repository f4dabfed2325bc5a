"""Queries and passages from the structure of raw text: what stands for what, without labels."""
