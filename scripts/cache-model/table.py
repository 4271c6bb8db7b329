"""Makes the token table of the semantic cache from the teacher's vectors (teacher.py) of many texts (data_texts.py).

    python table.py --model DIR --onnx PATH --data STEM... --out PATH [--steps 4000] [--dimensions 256]

Each STEM names STEM.jsonl and STEM.npy. First as Model2Vec does (every piece through the teacher, projected on the
principal directions of the texts, rare pieces heavier), then trained: vectors of texts, sums of their pieces', are to lie
where the teacher puts the text, and a batch is made of neighbourhoods (texts that the teacher finds near some anchors),
in which cosines and their order are to be the teacher's. Seeds are fixed; it prints the sha256 of what it wrote.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from table_format import base_vocabulary, tokenizer_of, write_table
from teacher import Teacher

LENGTH = 48
ANCHORS, NEAR, POOL = 24, 32, 16_000
TEMPERATURE = 0.05
# share of a text's characters in known words below which nothing is looked up; measured by table_coverage in table.test.ts
FLOOR = 0.6


def extra_words(texts, vocabulary, most):
    """Frequent words that the teacher's vocabulary cuts into pieces get a row of their own."""
    known = set(vocabulary)
    counts = Counter(word for text in texts for word in set(w.strip(".,?!:;()\"'") for w in text.lower().split()))
    return [w for w, n in counts.most_common() if n >= 12 and w.isascii() and w.isalpha() and 3 < len(w) < 20 and w not in known][:most]


def load(stems):
    texts, vectors = [], []
    for stem in stems:
        texts += [json.loads(line)["text"] for line in Path(stem + ".jsonl").read_text().splitlines()]
        vectors.append(np.load(stem + ".npy"))
    return texts, np.concatenate(vectors).astype(np.float32)


def directions(vectors, count):
    """Principal directions, not centred: the teacher's cosines are what is to be kept."""
    values, basis = np.linalg.eigh(vectors.T @ vectors)
    order = np.argsort(values)[::-1][:count]
    print(f"{count} directions keep {values[order].sum() / values.sum():.4f} of the teacher's squares", flush=True)
    return basis[:, order].astype(np.float32)


def pieces_of(tokenizer, texts, unknown):
    """One sparse row a text: how often it has each piece."""
    encoded = [[row for row in encoding.ids[:LENGTH] if row != unknown] for encoding in tokenizer.encode_batch(texts)]
    ends = np.cumsum([0, *(len(ids) for ids in encoded)])
    columns = np.fromiter((row for ids in encoded for row in ids), np.int32, ends[-1])
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(texts), unknown))


def start(teacher, vocabulary, rows, basis):
    """Model2Vec: the teacher's vector of the piece alone, weighted by a / (a + frequency) (Arora et al. 2017)."""
    counts = np.bincount(rows.indices, minlength=len(vocabulary)).astype(np.float64)
    frequency = counts / counts.sum()
    alone = teacher.encode([piece.removeprefix("##") for piece in vocabulary]).astype(np.float32) @ basis
    weight = 1e-3 / (1e-3 + frequency)
    return (alone * weight[:, None]).astype(np.float32), counts


def normal(x):
    length = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    return x / length, length


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def slope_of(sums, targets, mix):
    """Loss of a batch and its derivative by the sums of the pieces' vectors."""
    count = len(sums)
    made, length = normal(sums)
    wanted, _ = normal(targets)
    got, want = made @ made.T, wanted @ wanted.T
    weight = 0.2 + 4 * np.maximum(want, 0) ** 2
    np.fill_diagonal(weight, 0)
    weight /= weight.sum()
    away = got - want
    np.fill_diagonal(got, -100)
    np.fill_diagonal(want, -100)
    here, there = softmax(got / TEMPERATURE), softmax(want / TEMPERATURE)
    by = mix[1] * 2 * weight * away + mix[2] * (here - there) / (TEMPERATURE * count)
    slope = (by + by.T) @ made - mix[0] * wanted / count
    value = mix[0] * (1 - (made * wanted).sum(axis=1).mean()) + mix[1] * (weight * away**2).sum()
    value += mix[2] * (there * np.log((there + 1e-9) / (here + 1e-9))).sum(axis=1).mean()
    return value, (slope - made * (made * slope).sum(axis=1, keepdims=True)) / length


class Adam:
    """Kingma & Ba 2015, of the rows that a batch has; those it has not stay as they are."""

    def __init__(self, table):
        self.table = table
        self.mean, self.square = np.zeros_like(table), np.zeros_like(table)
        self.times = np.zeros((len(table), 1), np.float32)

    def step(self, rows, slope, rate):
        self.times[rows] += 1
        times = self.times[rows]
        mean = self.mean[rows] = 0.9 * self.mean[rows] + 0.1 * slope
        square = self.square[rows] = 0.999 * self.square[rows] + 0.001 * slope * slope
        self.table[rows] -= rate * (mean / (1 - 0.9**times)) / (np.sqrt(square / (1 - 0.999**times)) + 1e-8)


def neighbourhoods(rng, vectors):
    """Indices of a batch: some anchors and those that the teacher finds nearest to each, of a random part of all."""
    some = rng.choice(len(vectors), min(POOL, len(vectors)), replace=False)
    near = vectors[some[:ANCHORS]] @ vectors[some].T
    chosen = np.argpartition(-near, NEAR, axis=1)[:, :NEAR].ravel()
    picked = np.unique(chosen)
    rest = rng.choice(len(some), ANCHORS * NEAR - len(picked), replace=False)
    return some[np.concatenate([picked, rest])]


def train(first, rows, targets, steps, mix, rate, report):
    rng = np.random.default_rng(5)
    adam = Adam(first.copy())
    for at in range(1, steps + 1):
        batch = neighbourhoods(rng, targets)
        part = rows[batch]
        touched, columns = np.unique(part.indices, return_inverse=True)
        part = csr_matrix((part.data, columns, part.indptr), shape=(len(batch), len(touched)))
        value, slope = slope_of(part @ adam.table[touched], targets[batch], mix)
        now = rate * min(1.0, at / 50) * max(0.02, 1 - at / steps)
        adam.step(touched, part.T @ slope, now)
        if at % 250 == 0 or at == steps:
            report(at, value, adam.table)
    return adam.table


def tells(table, counts):
    """How much a piece says, 0..1: its trained length against that of the heavier tenth."""
    length = np.linalg.norm(table, axis=1)
    met = counts > 5
    return np.clip(length / np.quantile(length[met], 0.9), 0, 1)


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "onnx", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--extra", type=int, default=3000)
    parser.add_argument("--mix", type=float, nargs=3, default=[1.0, 8.0, 0.3], help="direct, squares, order")
    parser.add_argument("--pairs", help="labelled pairs (JSON lines) to report on; never trained on")
    options = parser.parse_args()
    texts, vectors = load(options.data)
    base = base_vocabulary((Path(options.model) / "vocab.txt").read_text().splitlines())
    vocabulary = base + extra_words(texts, base, options.extra)
    tokenizer = tokenizer_of(vocabulary)
    rows = pieces_of(tokenizer, texts, len(vocabulary))
    basis = directions(vectors, options.dimensions)
    first, counts = start(Teacher(options.model, options.onnx), vocabulary, rows, basis)
    print(f"{len(texts)} texts, {len(base)} + {len(vocabulary) - len(base)} pieces, {int((counts > 0).sum())} met", flush=True)
    report = reporter(options.pairs, tokenizer, len(vocabulary))
    report(0, 0.0, first)
    table = first if options.steps == 0 else train(first, rows, vectors @ basis, options.steps, options.mix, options.rate, report)
    digest, size = write_table(options.out, vocabulary, table, tells(table, counts), FLOOR)
    print(f"{options.out}: {size} bytes, sha256 {digest}")


def reporter(path, tokenizer, unknown):
    if path is None:
        return lambda at, value, table: print(f"step {at}: loss {value:.4f}", flush=True)
    from table_eval import read_pairs, summary

    pairs = read_pairs(path)
    left, right = (pieces_of(tokenizer, [pair[side] for pair in pairs], unknown) for side in ("text_a", "text_b"))

    def report(at, value, table):
        a, b = left @ table, right @ table
        cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
        print(f"step {at}: loss {value:.4f} {summary(pairs, cosine)}", flush=True)

    return report


if __name__ == "__main__":
    main()
