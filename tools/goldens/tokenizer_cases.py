#!/usr/bin/env python3
"""Writes tests/data/tokenizer/golden.json: tokens and decoded text of random strings, as the library `tokenizers`
(0.23.3) has them, for small tokenizers with one unusual part each and for real ones.

    python3 tools/goldens/tokenizer_cases.py [TEXTS OUTPUT]     run in the root of the project
"""
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer

DATA = pathlib.Path("tests/data")
N_TEXTS, OUTPUT = (int(sys.argv[1]), sys.argv[2]) if len(sys.argv) > 2 else (24, DATA / "tokenizer/golden.json")
ALPHABET = "ab1-. _é▁"
MERGES = ["a b", "1 1", "a 1", "- -", "b -", "- a", ". .", "ab ab", "▁ a", "▁ ▁", "▁a b", "▁▁ ▁▁", "11 11", "1 -"]
BYTES = ["<0x%02X>" % b for b in range(256)]


def byte_letters():
    """GPT-2's alphabet of 256 characters."""
    seen = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [chr(b) if b in seen else chr(256 + sorted(set(range(256)) - set(seen)).index(b)) for b in range(256)]


def tokenizer(alphabet=ALPHABET, merges=MERGES, extra=(), added=(), model=None, **parts):
    tokens = list(alphabet) + list(extra)
    for merge in merges:
        tokens.append(merge.replace(" ", ""))
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    flags = {"special": False, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    ids = dict(vocab)
    for a in added:
        ids.setdefault(a["content"], len(ids))
    added = [{"id": ids[a["content"]], **flags, **a} for a in added]
    fallback = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                "pre_tokenizer": None, "post_processor": None, "decoder": fallback}
    document.update(parts)
    document["model"] = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                         "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                         "ignore_merges": False, "vocab": vocab, "merges": merges, **(model or {})}
    return document


def split(regex, behavior, invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def metaspace(scheme, do_split=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": do_split}


def byte_level(prefix, regex):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(key, *steps):
    return {"type": "Sequence", key: list(steps)}


def byte_tokenizer(**parts):
    merges = ["Ġ a", "Ġa b", "a b", "1 1", "Ġ Ġ", "Ã ©", "- -", "ab ab", "Ġ Ã©"]
    return tokenizer(byte_letters(), merges, decoder=byte_level(False, False), **parts)


ADDED = [{"content": "<s>", "special": True}, {"content": "<mask>", "lstrip": True, "special": True},
         {"content": "<end>", "rstrip": True}, {"content": "ab1", "single_word": True}, {"content": "-->"},
         {"content": "--"}, {"content": "é.", "normalized": True}]
TEMPLATE = {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "<end>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}]}


def cases():
    for behavior in ("Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"):
        for invert in (False, True):
            yield f"split {behavior} {invert}", tokenizer(pre_tokenizer=split(r"\d|-", behavior, invert))
    yield "split string", tokenizer(pre_tokenizer={"type": "Split", "pattern": {"String": "b-"},
                                                   "behavior": "Isolated", "invert": False})
    for name, regex in {"empty matches": r"(?=(\d{2})+(?!\d))", "line ends": r"\s+$|^a", "words": r"\w+",
                        "spaces": r"\s", "no spaces": r"[^\s]+", "any case": r"(?i:AB)", "atomic": r"(?>a|ab)1",
                        "possessive": r"a?+b++", "behind": r"(?<=a)1|(?<!b)-", "escapes": r"[\u0041-b\x2d]",
                        "posix": r"[[:digit:]a]+"}.items():
        yield f"regex {name}", tokenizer(pre_tokenizer=split(regex, "Isolated"))
    for individual in (False, True):
        yield f"digits {individual}", tokenizer(pre_tokenizer={"type": "Digits", "individual_digits": individual})
    for scheme in ("always", "first", "never"):
        for do_split in (False, True):
            step = metaspace(scheme, do_split)
            yield f"metaspace {scheme} {do_split}", tokenizer(pre_tokenizer=step, decoder=step, added=ADDED)
    yield "metaspace after split", tokenizer(
        pre_tokenizer=sequence("pretokenizers", split("-", "Isolated"), metaspace("first")), decoder=metaspace("first"))
    for fuse in (False, True):
        model = {"unk_token": "?", "fuse_unk": fuse}
        yield f"unknown {fuse}", tokenizer("ab1", ["a b", "1 1"], extra=["?"], model=model)
        model = {"unk_token": "?", "fuse_unk": fuse, "byte_fallback": True}
        some = [b for b in BYTES if b != "<0x2D>"]
        yield f"fallback {fuse}", tokenizer("ab1", ["a b", "1 1", "<0xC3> <0xA9>"], extra=["?"] + some, model=model)
    yield "dropped", tokenizer("ab1", ["a b", "1 1"])
    yield "ignore merges", tokenizer(extra=["ab1", "-a-"], pre_tokenizer=split(" ", "Isolated"),
                                     model={"ignore_merges": True})
    yield "pairs", tokenizer(merges=MERGES, model={"merges": [m.split(" ") for m in MERGES]})
    yield "added", tokenizer(added=ADDED)
    yield "added normalized", tokenizer(
        added=ADDED + [{"content": "a b", "normalized": True}],
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    yield "normalizers", tokenizer(added=ADDED, normalizer=sequence(
        "normalizers", {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"-{2,}"}, "content": "1"},
        sequence("normalizers", {"type": "Prepend", "prepend": "▁"})))
    yield "byte level", byte_tokenizer(pre_tokenizer=byte_level(False, True), added=ADDED[:6])
    yield "byte level prefix", byte_tokenizer(pre_tokenizer=byte_level(True, True), added=ADDED[:6])
    yield "byte level after digits", byte_tokenizer(pre_tokenizer=sequence(
        "pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level(False, True)))
    yield "byte level ignore merges", byte_tokenizer(
        pre_tokenizer=byte_level(False, True), extra=["Ġ11", "Ã©Ã©"], model={"ignore_merges": True})
    document = tokenizer(added=ADDED)
    ids = {a["content"]: a["id"] for a in document["added_tokens"]}
    specials = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in ("<s>", "<end>")}
    document["post_processor"] = sequence("processors", byte_level(True, True), {**TEMPLATE, "special_tokens": specials})
    yield "template", document
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 2, "stop": 0}
    yield "decoder of Llama", tokenizer(
        extra=BYTES, model={"byte_fallback": True},
        normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "▁"},
                            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
        decoder=sequence("decoders", replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip))


def random_text(rng):
    pieces = list("aabb11--..  _é▁\n\t") + ["ab", "--", "  ", "<s>", "<mask>", "<end>", "-->", "ab1", "é.", "e\u0301", "🙂"]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 14)))


REAL = ["tokenizer/qwen2/tokenizer.json", "models/stories260K/tokenizer.json"]
PASSAGES = [
    "\u201cWell, Prince, so Genoa and Lucca are now just family estates of the Buonapartes. But I warn you, if you "
    "don\u2019t tell me that this means war\u2026\u201d It was in July, 1805, and the speaker was Anna P\u00e1vlovna "
    "Sch\u00e9rer.\r\n\r\nShe'd HE'LL we'Re 'tis  \t  12,345.678",
    "Let $p \\ge 5$ be a prime; then $\\sum_{k=1}^{p-1} \\frac{1}{k} \\equiv 0 \\pmod{p^2}$. \u2200\u03b5>0 "
    "\u2203\u03b4: |x\u2212y|<\u03b4 \u21d2 |f(x)\u2212f(y)|<\u03b5\n\n\n**Proof.**",
    "for (int i = 0; i < n; i++)\n\t\tsum += a[i] * b[i]; // dot product\n    return sum;\n}\n",
    "<|im_start|>user\n\u4f60\u597d\uff0c\u4e16\u754c\uff01<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430; \ud55c\uad6d\uc5b4 "
    "\u1112\u1161\u11ab \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0645\u0631\u062d\u0628\u0627 e\u0301\u0323 \u212b "
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea<s> </s>"]


def random_unicode(rng):
    planes = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x900, 0xA00), (0x1100, 0x1200),
              (0x2000, 0x2C00), (0x3040, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00), (0x1F300, 0x1F700)]
    chosen = rng.sample(planes, 2) + [(9, 14), (0x20, 0x21)]
    return "".join(chr(rng.randrange(*rng.choice(chosen))) for _ in range(rng.randint(1, 30)))


def golden_real(file):
    library = Tokenizer.from_file(str(DATA / file))
    rng = random.Random(file)
    return {"name": file, "file": file, "cases": rows_of(library, PASSAGES + [random_unicode(rng) for _ in range(N_TEXTS)])}


def golden(name, document):
    library = Tokenizer.from_str(json.dumps(document))
    rng = random.Random(name)
    return {"name": name, "tokenizer": document, "cases": rows_of(library, [random_text(rng) for _ in range(N_TEXTS)])}


def rows_of(library, texts):
    rows = []
    for text in texts:
        library.encode_special_tokens = False
        ids = library.encode(text, add_special_tokens=True).ids
        library.encode_special_tokens = True
        plain_ids = library.encode(text, add_special_tokens=False).ids
        rows.append({"text": text, "ids": ids, "plain_ids": plain_ids, "decoded": library.decode(ids)})
    return rows


everything = [golden(name, document) for name, document in cases()] + [golden_real(file) for file in REAL]
entries = [json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in everything]
pathlib.Path(OUTPUT).write_text("[\n" + ",\n".join(entries) + "\n]\n", encoding="utf-8")
