"""`python -m fake_backend`."""

from fake_backend.cli import command

if __name__ == "__main__":
    command(prog_name="python -m fake_backend")
