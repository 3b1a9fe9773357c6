"""`python -m helamem.streams.cli` is `helamem`."""

from helamem.streams.cli import main

if __name__ == "__main__":
    main()
