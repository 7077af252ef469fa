"""Run the command line as ``python -m spiir_pastro``."""

from spiir_pastro.cli import main

main()
