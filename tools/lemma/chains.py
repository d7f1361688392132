"""Lemma chains: problems of any length that are solved by a derivation, one equation a step.

The prompt gives two constants and a shuffled list of equations. The first operand of an equation is the result
of the one before it; the second is any earlier value, a milestone that may lie thousands of tokens back. Some
equations are distractors: they follow from the chain but lead away from the name that is asked for. Arithmetic is
modulo 10.

    given wf=3,bj=8. ma+wf=rn;rf-bj=ma;bj-wf=rf; find rn

A step copies its equation from the prompt, looks up the two values in the derivation and gives the result:

    bj-wf=rf:8-3->rf=5;rf-bj=ma:5-8->ma=7;ma+wf=rn:7+3->rn=0;

So one wrong token, or one that attention no longer sees, spoils all that follows.
"""
import dataclasses
import operator
import random
import string

NAMES = [first + second for first in string.ascii_lowercase for second in string.ascii_lowercase]
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
STEPS_MOST = 400  # with half as many distractors and the constants this needs 603 of the 676 names


@dataclasses.dataclass(frozen=True)
class Problem:
    prompt: str
    derivation: str
    answer: str
    steps: int

    @property
    def response(self):
        """What a model is to write after the prompt."""
        return f"<think>\n{self.derivation}\n</think>\n\n{self.answer}"


def draw_problem(rng: random.Random, steps: int, distractors: int, operators="+-*") -> Problem:
    """A problem of `steps` equations that matter and `distractors` that do not.

    All problems of the same two counts have the same number of tokens where a name is one token.
    """
    if not 1 <= steps <= STEPS_MOST or not 0 <= distractors <= steps // 2:
        raise ValueError(f"no problem has {steps} steps and {distractors} distractors")
    names = rng.sample(NAMES, 2 + steps + distractors + 1)
    chain, aside = names[:2 + steps], names[2 + steps:]
    values = [rng.randrange(10), rng.randrange(10)]
    constants = f"{chain[0]}={values[0]},{chain[1]}={values[1]}"
    equations, derivation = [], []
    for i in range(steps):
        sign, milestone = rng.choice(operators), rng.randrange(i + 1)
        first, second = values[i + 1], values[milestone]
        values.append(OPERATORS[sign](first, second) % 10)
        equation = f"{chain[i + 1]}{sign}{chain[milestone]}={chain[i + 2]}"
        equations.append(equation)
        derivation.append(f"{equation}:{first}{sign}{second}->{chain[i + 2]}={values[-1]};")
    for i in range(distractors):
        equations.append(f"{aside[i]}{rng.choice(operators)}{rng.choice(chain)}={aside[i + 1]}")
    rng.shuffle(equations)
    return Problem(prompt=f"given {constants}. {';'.join(equations)}; find {chain[-1]}",
                   derivation="".join(derivation), answer=f"{chain[-1]}={values[-1]}", steps=steps)
