"""The command line: `stackjax list | show | compare | regret | metagame | run | sweep | certify | plot | report`.

A command is a file here and a name in `_COMMANDS`. What it needs is imported when it runs.
"""

import click

import stackjax
from stackjax.cli import certify, compare, listing, metagame, plot, regret, report, run, show, sweep
from stackjax.cli._cache import cached

_COMMANDS = (listing, show, compare, regret, metagame, run, sweep, certify, plot, report)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(stackjax.__version__, message="stackjax %(version)s")
def main() -> None:
    """Learning in leader-follower (Stackelberg) games.

    Games and learners of your own are module:Class wherever a name is expected; the current folder is looked into. For
    completion of names: eval "$(_STACKJAX_COMPLETE=bash_source stackjax)", or zsh_source, fish_source.

    Compiled programs are kept in a folder of the user's cache (~/.cache/stackjax; it may be removed at any time) and
    are not compiled again by the next command. STACKJAX_CACHE names another folder, or "off" for none.
    """
    cached()


for _module in _COMMANDS:
    main.add_command(_module.command)
