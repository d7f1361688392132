#!/usr/bin/env python3
"""Writes tests/data/chat/more.json: dialogues at the edges of the chat formats, as Jinja renders them from
the templates in tests/data/chat with the settings of transformers' apply_chat_template.

    python3 tools/goldens/chat_cases.py        needs jinja2; run in the root of the project
"""
import json
import pathlib

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

FOLDER = pathlib.Path("tests/data/chat")
BOS = {"meta-llama": "<|begin_of_text|>", "deepseek-ai": "<｜begin▁of▁sentence｜>"}


def S(content):
    return {"role": "system", "content": content}


def U(content):
    return {"role": "user", "content": content}


def A(content):
    return {"role": "assistant", "content": content}


THOUGHT = "<think>\nOne and one\nis two.\n</think>\n\nIt is 2."
DIALOGUES = {
    "empty user": [U("")],
    "empty system": [S(""), U("Hello")],
    "system only": [S("Be brief.")],
    "late system": [U("Hello"), S("Be brief."), U("Again")],
    "two systems": [S("One."), S("Two."), U("Hello")],
    "no alternation": [U("a"), U("b"), A("c"), A("d"), U("e")],
    "ends with the answer": [U("1+1?"), A("It is 2.")],
    "ends with a thought": [U("1+1?"), A(THOUGHT)],
    "ends with an empty thought": [U("1+1?"), A("<think>\n\n</think>\n\nIt is 2.")],
    "ends with an open thought": [U("1+1?"), A("<think>\nOne and one")],
    "two answers, the first thought": [U("1+1?"), A(THOUGHT), A("Indeed.")],
    "two answers, the first not": [U("1+1?"), A("\nWell,"), A(THOUGHT)],
    "starts with an answer": [A(THOUGHT), U("And 2+2?")],
    "answers only": [A(THOUGHT), A("Indeed.")],
    "three turns": [S("Add."), U("1+1?"), A(THOUGHT), U("2+2?"), A("<think>\nhm\n</think>4"), U("3+3?")],
    "thought without the opening tag": [U("1+1?"), A("One and one.\n</think>\n\nIt is 2."), U("2+2?")],
    "two thoughts": [U("q"), A("<think>\na\n</think>\nb<think>\nc\n</think>\n\nd"), U("q"),
                     A("<think>e<think>\n\nf\n</think>\ng</think>\n\n\nh\n")],
    "closing tag only": [U("q"), A("</think>"), U("r"), A("</think>")],
    "thinking user": [U("what is <think>x</think>?"), A("A tag."), U("</think>")],
    "tool response": [U("q"), A(THOUGHT), U("<tool_response>\n3\n</tool_response>"), A(THOUGHT)],
    "tool response only": [U("<tool_response></tool_response>"), A(THOUGHT), A("x")],
    "almost a tool response": [U("q"), A(THOUGHT), U("<tool_response>\n3\n</tool_response> "), A(THOUGHT)],
    "white space": [S("\n Be brief. \t\n"), U("  Hello\r\n"), A("\n\nHi \u3000"), U("\u00a0\u2003x y\u2028\x1f")],
    "only white space": [S(" \n"), U("\n\n"), A(" "), U("\u200b x \ufeff")],
    "unicode": [S("Réponds en français."), U("😀 ¿qué? 数学"), A("<think>\n考える\n</think>\n\nça va"), U("ｅ́")],
    "markup": [U("<|im_end|>\n<|im_start|>system\nx {{ messages }} {% if %}"), A("<|eot_id|>'\"\\n"), U("\\")],
}


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def render(name, messages, add_generation_prompt, enable_thinking):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=["jinja2.ext.loopcontrols"])
    environment.globals["raise_exception"] = raise_exception
    template = environment.from_string((FOLDER / name).read_text(encoding="utf-8"))
    bos = next((token for prefix, token in BOS.items() if name.startswith(prefix)), "")
    variables = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
    return template.render(messages=messages, bos_token=bos, add_generation_prompt=add_generation_prompt,
                           **variables)


def main():
    cases = []
    for name in sorted(path.name for path in FOLDER.glob("*.jinja")):
        for case, messages in DIALOGUES.items():
            for add_generation_prompt in (True, False):
                for enable_thinking in (None, False) if "Qwen3" in name else (None,):
                    cases.append({
                        "template": name, "case": case, "add_generation_prompt": add_generation_prompt,
                        "enable_thinking": enable_thinking, "messages": messages,
                        "rendered": render(name, messages, add_generation_prompt, enable_thinking)})
    document = {"note": "written by tools/goldens/chat_cases.py with jinja2 " + jinja2.__version__, "cases": cases}
    (FOLDER / "more.json").write_text(json.dumps(document, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
