"""What the commands of this folder have in common: the names that they are given, and who compiles."""

import argparse
from collections.abc import Iterable
from importlib import metadata


def asked_for(command: str, known: Iterable[str]) -> list[str]:
    """The names on the command line, each of which has to be known; none stand for all, and only that is written."""
    parser = argparse.ArgumentParser(prog=command)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    names: list[str] = parser.parse_args().names
    if unknown := [name for name in names if name not in set(known)]:
        parser.error(f"unknown names {unknown}")
    return names


def compiler() -> dict[str, str]:
    """The versions of what compiles for CUDA."""
    names = (each.name for each in metadata.distributions())
    return {name: metadata.version(name) for name in sorted(names) if name.startswith(("jax-cuda", "nvidia-"))}
