"""``python -m simian`` is ``simian``."""

from simian.cli.main import main

if __name__ == "__main__":
    main()
