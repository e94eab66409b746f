"""The studies that come with the library."""

from pathlib import Path


def studies() -> dict[str, Path]:
    """Name -> file: in the installed package, or in the repository that it is a part of."""
    package = Path(__file__).parents[1]
    folders = (package / "studies", package.parent / "benchmarks" / "studies")
    folder = next((place for place in folders if place.is_dir()), folders[0])
    return {path.stem.replace("_", "-"): path for path in sorted(folder.glob("*.toml"))}
