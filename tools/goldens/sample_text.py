"""Text for goldens, written for this purpose: a story for the story model, and a little of everything
to train a small tokenizer on."""

import tokenizers

import oracle

STORY = """Once upon a time, there was a small brown dog named Max. Max lived in a red house with a girl \
named Anna. Every day they went to the park to play with a big blue ball. One day, the ball rolled far away, \
down the hill and into the dark woods. Max was scared, but he wanted to be brave. "I will find it," he \
thought. He ran past the tall trees and looked behind a rock. There he saw a little bird sitting on the \
ball. "Is this your ball?" asked the bird. "Yes," said Max, "but you can play with us!" The bird was very \
happy. They all went back to the park together. Anna smiled and gave Max a hug. From that day on, the dog, \
the girl and the bird were best friends, and they played with the blue ball until the sun went down. At \
night, Max slept in his warm bed and dreamed about the woods. The bird sang a song at the window."""

MIXED = """Let x be an even number. Then x = 2k for some k, and x*x = 4*k*k, which is even as well. So the \
square of an even number is even. Is the converse true? Suppose that x*x is even and that x is odd. Then \
x = 2k + 1, so x*x = 4k*(k + 1) + 1 is odd: a contradiction. Therefore, x is even.
First, we count the heads of each rank. Each head proposes tokens, and the ranks agree on one set. Then all \
the heads of all the ranks attend to the tokens of that set. Wait, let me check the count again: 12 + 30 = 42, \
and 42 - 30 = 12. Yes, that is right. The answer is 42.
def add(a, b):\n    return a + b\n\nfor (int i = 0; i < n; i++) { sum += a[i]; }
Höhe und Tiefe, größer als zuvor; l'été est passé; ¿qué hora es? Число π ≈ 3.14159; 数は力なり; 한국어; 🙂🙂.
"""


def stories_tokens(count):
    """The first `count` tokens of the story for stories260K, the first being <s>."""
    tokenizer = tokenizers.Tokenizer.from_file(str(oracle.MODELS / "stories260K/tokenizer.json"))
    ids = tokenizer.encode(STORY).ids
    if len(ids) < count:
        raise ValueError(f"the story has {len(ids)} tokens, not {count}")
    return ids[:count]
