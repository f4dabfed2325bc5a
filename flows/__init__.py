"""Prefect flows around the pipeline: what runs when, and what is told of it. Nothing in src/ knows them."""
