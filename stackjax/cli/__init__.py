"""The command line: `stackjax list | compare | regret | metagame | certify | plot`.

A command is a file here and a name in `_COMMANDS`. What it needs is imported when it runs.
"""

import click

import stackjax
from stackjax.cli import certify, compare, listing, metagame, plot, regret

_COMMANDS = (listing, compare, regret, metagame, certify, plot)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(stackjax.__version__, message="stackjax %(version)s")
def main() -> None:
    """Learning in leader-follower (Stackelberg) games."""


for _module in _COMMANDS:
    main.add_command(_module.command)
