"""Other texts as the transcript: another column, such as the output of speech recognition, or plain text."""

from dataclasses import replace

from merkit.core.errors import ManifestError
from merkit.core.lookup import unknown
from merkit.core.types import Utterance
from merkit.core.words import plain_text
from merkit.data.columns import FOLDER, read_column, stored_columns
from merkit.data.corpus.manifest import Manifest, content_hash


def with_text_column(manifest: Manifest, column: str) -> Manifest:
    """Return the manifest with the texts of another column, context included; an empty cell is a missing text.

    The column is one of the table, or one that merkit made and keeps beside it. The manifest's hash is that of its new
    content. Labels, media and the attribute itself stay.

    Raises:
        ManifestError: There is no such column or two of them, it holds something other than texts, or it is empty.
    """
    if column == "text":
        return manifest
    known = sorted({name for utterance in manifest.utterances for name in utterance.attributes})
    stored = stored_columns(manifest.root)
    if column in known and column in stored:
        raise ManifestError(
            f"{manifest.root}: column '{column}' is in the table and in '{manifest.root / FOLDER / column}': remove one"
        )
    if column in stored:
        texts = read_column(manifest.root, column, manifest.utterances)
        utterances = tuple(replace(utterance, text=texts[utterance.id]) for utterance in manifest.utterances)
    elif column in known:
        utterances = tuple(replace(each, text=_cell(manifest, each, column)) for each in manifest.utterances)
    else:
        raise ManifestError(f"{manifest.root}: {unknown('column', column, ['text', *known, *stored])}")
    if all(utterance.text is None for utterance in utterances):
        raise ManifestError(f"{manifest.root}: column '{column}' is empty; expected a text for at least one utterance")
    return _with(manifest, utterances)


def with_plain_text(manifest: Manifest) -> Manifest:
    """Return the manifest with its texts in lower case and without punctuation, as most recognisers write."""
    return _with(
        manifest,
        tuple(
            utterance if utterance.text is None else replace(utterance, text=plain_text(utterance.text))
            for utterance in manifest.utterances
        ),
    )


def _with(manifest: Manifest, utterances: tuple[Utterance, ...]) -> Manifest:
    return replace(manifest, utterances=utterances, info=replace(manifest.info, sha256=content_hash(utterances)))


def _cell(manifest: Manifest, utterance: Utterance, column: str) -> str | None:
    value = utterance.attributes.get(column)
    if value is not None and not isinstance(value, str):
        raise ManifestError(
            f"{manifest.root}: column '{column}' holds {value!r} for utterance '{utterance.id}', expected a text"
        )
    return value
