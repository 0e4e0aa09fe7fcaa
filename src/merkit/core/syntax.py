"""Hashes of Python code that comments, docstrings and layout do not change."""

import ast
import hashlib
import json
from typing import Any


def syntax_hash(tree: ast.AST) -> str:
    """Return 16 hexadecimal digits of a syntax tree, the same for all versions of Python."""
    return hashlib.blake2b(json.dumps(_shape(tree)).encode(), digest_size=8).hexdigest()


def _shape(node: Any) -> Any:
    """Return a syntax tree as JSON values without docstrings and positions, the same for all versions of Python."""
    if isinstance(node, list):
        return [_shape(each) for each in node if not _is_docstring(each)]
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *((name, value) for name, value in fields if value not in (None, "None", []))]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
