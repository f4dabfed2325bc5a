"""Chunks -> groups of B that are trained together; the stage build_batches, from documents on."""
