"""`python -m heritage.cli`."""

from heritage.cli import main

main()
