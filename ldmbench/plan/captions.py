"""How much of captions a text encoder takes in: what it does not is counted and said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ldmbench.sources.tokens import read

__all__ = ["caption_cautions"]


def caption_cautions(captions: Sequence[str], extractor: str, what: str) -> Iterator[str]:
    """Yield how much of captions the text encoder of an extractor does not take in.

    Args:
        captions: what images are held to.
        extractor: of a CLIP score.
        what: what sentences call these captions.
    """
    found = read(captions, extractor)
    if found.unknown:
        share = 100 * found.unknown / found.words
        blank = f", and no word of what is in the image in {found.blank:,}" if found.blank else ""
        yield (
            f"{extractor} does not know {share:.2g} % of the words of {what}{blank}: its CLIP"
            " score says that much less about them"
        )
    elif found.blank:
        yield (
            f"{extractor} knows no word of what is in the image in {found.blank:,} of {what}: its"
            " CLIP score says nothing of them"
        )
    if found.cut:
        least = "" if found.exact else "at least "
        yield (
            f"{least}{found.cut:,} of {what} are longer than {extractor} reads, which is"
            f" {found.most} {'words and commas' if found.exact else 'tokens'}: it scores their"
            " beginnings"
        )
