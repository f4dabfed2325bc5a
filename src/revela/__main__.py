"""``python -m revela``."""

from revela.cli import main

main()
