"""Names of speakers before the words of a subtitle, and markup that is not part of them."""

import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html.entities import html5

from merkit.recordings.transcripts.lines import Draft

_PARTICLES = "van|von|der|den|de|del|della|di|da|dos|du|la|le|el|al|bin|ibn|ter|zu|of|the|and|y|e"
_WORD = r"[\w.'’&-]+"
_NAME = (
    rf"[^\W\d_]{_WORD[:-1]}*(?:[ ]{_WORD}){{0,2}}"  # three words at most
    rf"|[^\W\d_a-z]{_WORD[:-1]}*(?:[ ](?:[^\W_a-z]{_WORD[:-1]}*|{_PARTICLES})){{3,5}}"  # or up to six, as in names
)
_SPEAKER = re.compile(
    r"^(?P<dash>[ \t]*(?:-|–|—|(?P<sign>>>+))[ \t]*)?"
    rf"(?:\[(?P<bracketed>[^\]\n]{{1,40}})\]|(?P<plain>{_NAME}))"
    r"(?P<aside>[ \t]*[(\[][^)\]\n]{1,40}[)\]])?"
    r"(?::(?:[ \t]+|$)|：[ \t]*)",
    re.MULTILINE,
)
"""``[SPEAKER_00]: ``, ``Ann: ``, ``- Ann: ``, ``>> ANN: `` and ``ANN (laughing): ``."""
_MARKUP = re.compile(
    r"</?[biu](?:\.[\w.-]+)?>|</?c(?:\.[\w.-]+)*>|</?(?:ruby|rt)>|<lang(?:\.[\w.-]+)* [\w-]+>|</lang>|</v>"
    r"|<font(?:\s+[\w-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))*\s*>|</font>"
    r"|<(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3}>|\{\\[^{}\n]*\}|\{/?[biu]\}",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_VOICE = re.compile(r"<v(?:\.[^ \t>]+)*[ \t]+([^<>\n]+)>", re.IGNORECASE)
_DASH = re.compile(r"(?:-|–|—|>>+)[ \t]*\w")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)


@dataclass(frozen=True)
class Cue:
    """A subtitle: its times, its place in the file, and its rows as written."""

    start_s: float
    end_s: float
    place: str
    rows: tuple[str, ...]


def plain_rows(cue: Cue) -> list[str]:
    """Return the rows of a cue without markup; tags that are no markup of subtitles are words."""
    return [unescaped(_MARKUP.sub("", _VOICE.sub("", _BREAK.sub(" ", row)))).strip() for row in cue.rows]


def unescaped(text: str) -> str:
    """Return a text with character references (``&amp;``, ``&#39;``) replaced by what they stand for."""

    def character(match: re.Match[str]) -> str:
        return html.unescape(match[0]) if match[0][1] == "#" else html5.get(match[0][1:], match[0])

    return _REFERENCE.sub(character, text)


def add_cues(draft: Draft, cues: Sequence[tuple[Cue, Sequence[str]]]) -> None:
    """Add cues with their plain rows, and take the speakers' names from ``<v NAME>`` or from before the words.

    ``[NAME]: `` and ``>> NAME: `` always name a speaker. ``NAME: `` does where every one of several cues begins so, or
    at least two and half of them, or where at least two names come again; the speaker of the others is unknown.

    Raises:
        MerkitError: A cue has two speakers, or no time span.
    """
    voices = [[unescaped(name).strip() for row in cue.rows for name in _VOICE.findall(row)] for cue, _ in cues]
    texts = ["\n".join(row for row in rows if row) for _, rows in cues]
    marked = any(voices)
    found = [[] if marked else list(_SPEAKER.finditer(text)) for text in texts]
    first = [names[0] if names and names[0].start() == 0 else None for names in found]
    weak = _are_names([name["plain"] if name else None for name in first])
    known = {_name(name) for name in first if name is not None}
    for (cue, _), voice, text, names, name in zip(cues, voices, texts, found, first, strict=True):
        if len(set(voice)) > 1:
            raise draft.error(cue.place, _TWO)
        speaker = voice[0] if voice else ""
        if name is not None and (weak or name["bracketed"] or name["sign"]):
            if any(other["bracketed"] or other["dash"] or _name(other) in known for other in names[1:]):
                raise draft.error(cue.place, _TWO)
            speaker, text = _name(name), text[name.end() :]
            if name["aside"]:
                draft.note("{} without the remark behind the speaker's name", cue.place)
        if sum(map(bool, map(_DASH.match, text.split("\n")))) > 1:
            draft.note("{} with words of several speakers, who have no names, read as of one", cue.place)
        draft.add(cue.start_s, cue.end_s, draft.speaker(speaker, cue.place), draft.text(text, cue.place), cue.place)


_TWO = "two speakers in one cue; give each a cue with times of its own."


def _name(name: re.Match[str]) -> str:
    return str(name["bracketed"] or name["plain"]).strip()


def _are_names(names: Sequence[str | None]) -> bool:
    counts = Counter(name for name in names if name is not None)
    number = sum(counts.values())
    recurring = [name for name, count in counts.items() if count > 1]
    return len(names) > 1 and (
        number == len(names)
        or (number > 1 and 2 * number >= len(names))
        or (len(recurring) > 1 and len(recurring) == len(counts))
    )
