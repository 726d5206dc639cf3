"""`python -m heteroscope`: the command line where the script `heteroscope` is not on the path."""

from heteroscope.cli import run_command

if __name__ == "__main__":
    run_command()
