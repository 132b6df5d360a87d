"""``python -m streamrec``."""

from streamrec.cli import main

if __name__ == "__main__":
    main()
