"""`python -m swayam_proxy` and the `swayam` command."""

import sys

from swayam_proxy.cli.root import swayam


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(swayam.main(prog_name="swayam"))


if __name__ == "__main__":
    main()
