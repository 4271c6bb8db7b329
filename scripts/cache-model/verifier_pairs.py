"""Training pairs for the verifier, as JSON lines {"a","b","label","source","weight"} on standard output.

usage: verifier_pairs.py --tatoeba fra.txt deu.txt spa.txt jpn.txt cmn.txt --clinc data_full.json --banking train.csv --hwu merged.json [--without traces.jsonl]

Sources, none of them committed: bilingual sentence pairs of Tatoeba as manythings.org packs them (CC BY 2.0 FR; two
sentences of one language with a translation in common are paraphrases), CLINC150 (CC BY 3.0), Banking77 (CC BY 4.0),
HWU64 (xliuhw/NLU-Evaluation-Data, CC BY 4.0), and verifier_grammar.py. QQP, MQP and PAWS are for measuring only.
--without: texts of a file of traces are left out, so that a replay measures what was not seen.
"""

import argparse
import collections
import csv
import itertools
import json
import random
import re
import sys

from verifier_grammar import grammar

rng = random.Random(11)
WORDS = re.compile(r"[a-z0-9']+|[\u4e00-\u9fff]")


def words(text):
    return WORDS.findall(text.lower())


def put(a, b, label, source, weight=1.0):
    if a != b:
        print(json.dumps({"a": a, "b": b, "label": label, "source": source, "weight": weight}, ensure_ascii=False))


def neighbours(texts, count, stop=120):
    """For each text those that share most of its rare words; an index of words, so that no pair is looked at twice."""
    index = collections.defaultdict(list)
    bags = [frozenset(words(text)) for text in texts]
    for at, bag in enumerate(bags):
        for word in bag:
            index[word].append(at)
    for at, bag in enumerate(bags):
        scores = collections.Counter()
        for word in bag:
            found = index[word]
            # Very common words find nothing that rarer ones do not.
            if len(found) > len(texts) // 12 and len(bag) > 3:
                continue
            for other in found if len(found) < stop else rng.sample(found, stop):
                if other != at:
                    scores[other] += 1 / (len(bags[other]) * len(found)) ** 0.5
        yield at, [other for other, _ in scores.most_common(count)]


def tatoeba(files, chinese):
    """Sentences that share a translation; look-alikes that share none, in the same languages."""
    links = collections.defaultdict(set)
    back = collections.defaultdict(set)
    for number, file in enumerate(files):
        for line in open(file, encoding="utf-8"):
            parts = line.rstrip("\n").split("\t")
            if len(parts) < 2:
                continue
            mine, theirs = (parts[1], parts[0]) if chinese else (parts[0], parts[1])
            links[mine].add((number, theirs))
            back[(number, theirs)].add(mine)
    shared = collections.Counter()
    for sentences in back.values():
        if 1 < len(sentences) <= 12:
            for pair in itertools.combinations(sorted(sentences), 2):
                shared[pair] += 1
    near = collections.defaultdict(set)
    for a, b in shared:
        near[a].add(b)
        near[b].add(a)
    name = "tatoeba-zh" if chinese else "tatoeba"
    asking = re.compile(r"[?？]$")
    pairs = [pair for pair in shared if len(words(pair[0])) > 2 and len(words(pair[1])) > 2]
    rng.shuffle(pairs)
    pairs.sort(key=lambda pair: -(shared[pair] + 2 * bool(asking.search(pair[0]))))
    for a, b in pairs[:20000]:
        # One shared translation may be loose (tense, number); two are hardly.
        put(a, b, 1, name, 1.0 if shared[(a, b)] > 1 else 0.5)
    texts = [text for text in links if len(words(text)) > 2]
    rng.shuffle(texts)
    texts.sort(key=lambda text: not asking.search(text))
    texts = texts[:24000]
    given = 0
    for at, found in neighbours(texts, 4):
        a = texts[at]
        for other in found[:2] + rng.sample(found, min(1, len(found))):
            b = texts[other]
            if b in near[a] or near[a] & near[b] or a > b:
                continue
            if {n for n, _ in links[a]} & {n for n, _ in links[b]} and given < 26000:
                given += 1
                put(a, b, 0, name)


def intents(rows, name, seen, positive, negative):
    """rows: (text, intent, key). Same intent and key = one answer; look-alikes of another intent = not."""
    rows = [row for row in rows if row[0].strip().lower() not in seen]
    rng.shuffle(rows)
    texts = [text for text, _, _ in rows]
    one = many = 0
    for at, found in neighbours(texts, 12):
        text, intent, key = rows[at]
        same = [other for other in found if rows[other][1] == intent and rows[other][2] == key]
        unlike = [other for other in found if rows[other][1] != intent or rows[other][2] != key]
        for other in same[:1] + same[3:4]:
            if one < positive:
                one += 1
                put(text, texts[other], 1, name, 0.5)
        for other in unlike[:2]:
            if many < negative:
                many += 1
                put(text, texts[other], 0, name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tatoeba", nargs="+", default=[])
    parser.add_argument("--clinc")
    parser.add_argument("--banking")
    parser.add_argument("--hwu")
    parser.add_argument("--without")
    asked = parser.parse_args()
    seen = set()
    if asked.without:
        for line in open(asked.without, encoding="utf-8"):
            seen.add(json.loads(line).get("prompt", "").strip().lower())
    for a, b, label in grammar(3600):
        put(a, b, label, "grammar")
    if asked.tatoeba:
        tatoeba(asked.tatoeba, False)
        tatoeba([file for file in asked.tatoeba if "cmn" in file], True)
    if asked.clinc:
        data = json.load(open(asked.clinc, encoding="utf-8"))
        intents([(text, intent, "") for text, intent in data["train"] + data["val"]], "clinc150", seen, 7000, 9000)
    if asked.banking:
        rows = list(csv.DictReader(open(asked.banking, encoding="utf-8")))
        intents([(row["text"].strip(), row["category"], "") for row in rows], "banking77", seen, 5000, 7000)
    if asked.hwu:
        examples = json.load(open(asked.hwu, encoding="utf-8"))["rasa_nlu_data"]["common_examples"]
        rows = [(e["text"], e["intent"], " ".join(sorted(x["value"] for x in e["entities"]))) for e in examples]
        intents(rows, "hwu64", seen, 5000, 7000)


if __name__ == "__main__":
    sys.exit(main())
