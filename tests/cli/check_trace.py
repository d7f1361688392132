#!/usr/bin/env python3
"""check_trace.py POLICY BUDGET SINKS PROMPT_TOKENS STEPS <FILE.trace: reads a trace as docs/trace.md says, with nothing of
caucus, and holds the sets of full and streaming, which follow from the numbers alone, to what they must be."""
import sys


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def varints(data):
    at, values = 0, []
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


def fields(data):
    """[(number, value or bytes)]"""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            assert key & 7 == 2, key
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        found.append((key >> 3, value))
    return found


def records(data):
    at = 0
    while at < len(data):
        size, at = varint(data, at)
        assert at + size <= len(data), "torn"
        yield dict_of_lists(fields(data[at:at + size]))
        at += size


def dict_of_lists(pairs):
    found = {}
    for number, value in pairs:
        found.setdefault(number, []).append(value)
    return found


def tokens_of(message):
    tokens = dict_of_lists(fields(message))
    ids, sizes = varints(tokens[1][0]), varints(tokens[3][0])
    assert len(ids) == len(sizes) and sum(sizes) == len(tokens.get(2, [b""])[0])
    return ids


def members(gaps):
    edges, edge = [], 0
    for gap in gaps:
        edge += gap
        edges.append(edge)
    return {token for begin, end in zip(edges[::2], edges[1::2]) for token in range(begin, end)}


def main():
    policy, budget, sinks, n_prompt, n_steps = sys.argv[1], *map(int, sys.argv[2:])
    header, *steps = records(sys.stdin.buffer.read())
    assert header[1] == [b"caucus trace"] and header[2] == [1] and header[6] == [policy.encode()], header
    assert header[7] == [budget] and len(tokens_of(header[12][0])) == n_prompt
    n_pairs = header[9][0] * header[10][0]
    assert len(steps) == n_steps, len(steps)
    n_cached, before = n_prompt, [set() for _ in range(n_pairs)]
    for step in steps:
        n_cached += len(tokens_of(step[1][0]))
        runs, sets = varints(step[3][0]), []
        set_of = [index for count, index in zip(runs[::2], runs[1::2]) for _ in range(count)]
        for index, message in enumerate(step[2]):
            wire = dict_of_lists(fields(message))
            given = members(varints(wire.get(2, [b""])[0]))
            sets.append(given ^ before[set_of.index(index)] if wire.get(1) == [1] else given)
        before = [sets[index] for index in set_of]
        everything = set(range(n_cached))
        if policy == "streaming" and n_cached > budget:
            everything = set(range(sinks)) | set(range(n_cached - (budget - sinks), n_cached))
        assert len(before) == n_pairs and all(found == everything for found in before), (n_cached, before)


main()
