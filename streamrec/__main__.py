"""``python -m streamrec``."""

from streamrec.commands.process import main

if __name__ == "__main__":
    main()
