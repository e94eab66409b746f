"""`python -m stackjax` is the `stackjax` command."""

from stackjax.cli import main

main()
