"""How much of captions a text encoder takes in: what it does not is counted and said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ldmbench.sources.tokens import read

__all__ = ["caption_cautions"]


def caption_cautions(captions: Sequence[str], extractor: str, what: str) -> Iterator[str]:
    """Yield how much of captions the text encoder of an extractor does not take in.

    Args:
        captions: what images are compared with.
        extractor: of a CLIP score.
        what: what sentences call these captions.
    """
    found = read(captions, extractor)
    if found.unknown:
        share = 100 * found.unknown / found.words
        blank = f"; {found.blank:,} contain no word that it knows" if found.blank else ""
        yield (
            f"{extractor} does not know {share:.2g} % of the words of {what}{blank}: the"
            " CLIP score ignores these words"
        )
    elif found.blank:
        yield (
            f"{extractor} knows no word of {found.blank:,} of {what}: their CLIP score has no"
            " meaning"
        )
    if found.cut:
        least = "" if found.exact else "at least "
        yield (
            f"{least}{found.cut:,} of {what} are longer than the {found.most}"
            f" {'words and commas' if found.exact else 'tokens'} that {extractor} reads: the CLIP"
            " score ignores the rest"
        )
