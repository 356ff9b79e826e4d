"""`python -m flashql.cli` is `flashql`."""

from flashql.cli import main

main()
