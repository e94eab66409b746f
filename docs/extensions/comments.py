"""An extension of Griffe: `#:` comments are the docstrings of what they stand beside or above."""

from typing import Any

import griffe


class Comments(griffe.Extension):
    """Read `#:` comments."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Give an attribute the comment at the end of its line, or those on the lines above it."""
        if attr.docstring is not None or attr.lineno is None or attr.is_alias:
            return
        lines = attr.lines_collection[attr.filepath]
        found = lines[attr.lineno - 1].partition("#:")[2].strip()
        if not found:
            above = []
            for line in reversed(lines[: attr.lineno - 1]):
                if not line.lstrip().startswith("#"):
                    break
                above.append(line.lstrip().lstrip("#: "))
                if line.lstrip().startswith("#:"):
                    found = " ".join(reversed(above))
                    break
        if found:
            attr.docstring = griffe.Docstring(found, parent=attr)
