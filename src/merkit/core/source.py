"""The hash of Python source by its meaning: comments, docstrings and layout do not count."""

import ast
import hashlib
import json
from contextlib import suppress
from functools import cache
from typing import Any


@cache
def source_hash(content: bytes) -> str:
    """Return the SHA-256 of the syntax tree in a file, the same for all versions of Python; of the bytes of no Python.

    >>> source_hash(b"x = 1  # one") == source_hash(b"x = (1)") != source_hash(b"x = 2")
    True
    """
    with suppress(SyntaxError, ValueError):
        content = json.dumps(_shape(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()


def _shape(node: Any) -> Any:
    """Return a syntax tree as JSON values without docstrings and positions."""
    if isinstance(node, list):
        return [_shape(each) for each in node if not _is_docstring(each)]
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *((name, value) for name, value in fields if value not in (None, "None", []))]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
