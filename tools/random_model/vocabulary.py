"""A byte-level BPE of any size: the 256 bytes, pairs of a letter or space with a letter, fillers that no text
reaches, and at the end the special tokens."""

import dataclasses
import itertools
import string

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_letters():
    """GPT-2's printable stand-ins of the bytes, by byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    tokens: list[str]
    merges: list[tuple[str, str]]

    @property
    def special_ids(self):
        return range(len(self.tokens) - len(SPECIALS), len(self.tokens))

    @property
    def eos_id(self):
        return self.tokens.index("<|endoftext|>")


def make_vocabulary(size):
    letters = byte_letters()
    room = size - len(letters) - len(SPECIALS)
    if room < 0:
        raise ValueError(f"a vocabulary of {size} tokens has no room for the bytes")
    space = letters[ord(" ")]
    merges = list(itertools.islice(itertools.product(space + string.ascii_lowercase, string.ascii_lowercase), room))
    pairs = [left + right for left, right in merges]
    fillers = [f"<filler {i}>" for i in range(room - len(pairs))]
    return Vocabulary([*letters, *pairs, *fillers, *SPECIALS], merges)
