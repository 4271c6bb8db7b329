"""Writes what the reference tokenizer (PyPI `tokenizers`) makes of some texts of ours, with a small vocabulary of ours.

    python table_fixture.py --out ../../src/cache/embed/wordpiece.fixture.json

The test of src/cache/embed/wordpiece.ts compares itself with it; `unknown` stands where a word is made of no pieces.
"""

import argparse
import json
import random
import string

from table_format import tokenizer_of

WORDS = """how do i reset my pass ##word ##words the a to in of cafe resume naive uber strasse un ##affe ##able ##ff run ##ning
token ##iz ##ation ##er ##s ##ing ##ed 2 20 ##26 ##6 3 . , ? ! - ' " ( ) $ + < = > @ # % & * / : ; [ ] _ ` { | } ~ ^ € £ °
embed ##ding gate ##way cu ##ber ##net ##es kube ##rn ##etes ##te ##s ##ly not isn t don ##t ph ##ở na ##ïve i̇ ##i ΑΒ istanbul"""
TEXTS = """How do I reset my password?|HOW DO I RESET MY PASSWORDS|  how\tdo\n\ni  |unaffable|tokenization, tokenizer; tokens!|Café Résumé NAÏVE Über
|cafe\u0301 re\u0301sume\u0301|İstanbul ISTANBUL ıstanbul|Straße STRASSE|phở Phở|isn't don't i'm|running2026 20 2026 2.026|a@b.in $20 €20 £3 20°
|kubernetes Kubernetes KUBE kuber|gateway-embedding/gateway_embedding|«the» “the” ‘the’ the… the—a the–a|你好 the 世界 a中b|こんにちは the|привет the
|مرحبا the|שלום|한국어 the|the😀a 😀 the 👩‍👩‍👧|the\u0000a the\u200ba the\u00ada the\ufeffa|the\u00a0a the\u3000a the\u2003a|the\u2028a|\ufffdthe|ﬁ the ﬃ
|½ the ² a|x y z|the.the,the|###the ##s|[UNK] [CLS] the|...|—||'|`a` ^a ~a |Ⅷ the|ΑΒΓ Σίσυφος|ａｂｃ the|a\u0301\u0302\u0303 the|\ud7a3 the|ẞ the|ǅ the
|the\u061ca the\u180ea|the\u202ea\u202c|the₿a the＄a|the·a the•a|a\u0345 the"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    vocabulary = list(dict.fromkeys([*WORDS.split(), *string.ascii_lowercase[:20], *("##" + c for c in string.ascii_lowercase[:16])]))
    tokenizer = tokenizer_of(vocabulary)
    texts = TEXTS.replace("\n|", "|").split("|")
    rng = random.Random(2)
    parts = [*"abeirstz -.'?", "the", "ing", "é", "É", "ü", "中", "ж", "\u0301", "ß", "İ", "😀", "20", "\t", "pass", "word", "€"]
    texts += ["".join(rng.choices(parts, k=rng.randint(1, 14))) for _ in range(150)]
    texts += ["a" * 100, "a" * 101, "run" + "ning" * 30, "the " + "a" * 101 + " the"]
    rows = [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    with open(options.out, "w") as out:
        json.dump({"vocabulary": vocabulary, "unknown": len(vocabulary), "texts": rows}, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
