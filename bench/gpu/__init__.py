"""What a GPU that comes rarely, for minutes, is asked: prepared at home, run there, reported at home."""
