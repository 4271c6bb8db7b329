"""Makes the token table of the semantic cache from the teacher's vectors (teacher.py) of many texts (data_texts.py).

    python table.py --model DIR --onnx PATH --data STEM... --out PATH [--steps 1250] [--dimensions 256]

Each STEM names STEM.jsonl and STEM.npy. A row is weight * (features @ shared + own). Its features are what the teacher
makes of the piece alone, as in Model2Vec, and the teacher's own input row, both about their means; the shared projection
lets rare pieces learn from frequent ones. Trained so that vectors of texts, sums of their pieces' rows, lie where the
teacher puts the text, and that in batches made of neighbourhoods (texts that the teacher finds near some anchors) cosines
and their order are the teacher's. Seeds are fixed; it prints the sha256 of what it wrote.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix

from data_words import WORDS
from table_format import base_vocabulary, tokenizer_of, write_table
from teacher import Teacher

LENGTH = 48
ANCHORS, NEAR, POOL = 24, 32, 16_000
TEMPERATURE = 0.05
# how a text is read (REDUNDANT of src/cache/embed/table.ts), and how while training: trained at -2 it came out lower
REDUNDANT = -2.0
REDUNDANT_TRAINED = -1.0
# share of a text's characters in known words below which nothing is looked up: measured, see README.md
FLOOR = 0.5


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
    """One sparse row a text: the pieces it has, each once, as the program pools them."""
    encoded = [sorted({row for row in encoding.ids[:LENGTH] if row != unknown}) for encoding in tokenizer.encode_batch(texts)]
    ends = np.cumsum([0, *(len(ids) for ids in encoded)])
    columns = np.fromiter((row for ids in encoded for row in ids), np.int32, ends[-1])
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(texts), unknown))


def features(teacher, folder, vocabulary, counts, basis, size=320):
    """Features of the pieces, their first projection to the directions of the texts, and their first weights."""
    alone = teacher.encode([piece.removeprefix("##") for piece in vocabulary]).astype(np.float32)
    alone -= alone.mean(axis=0)
    known = {piece: row for row, piece in enumerate((Path(folder) / "vocab.txt").read_text().splitlines())}
    table = load_file(str(Path(folder) / "model.safetensors"))["embeddings.word_embeddings.weight"].astype(np.float32)
    given = np.array([piece in known for piece in vocabulary])
    raw = table[[known.get(piece, 0) for piece in vocabulary]]
    raw = np.where(given[:, None], raw - raw[given].mean(axis=0), 0)
    raw *= np.linalg.norm(alone, axis=1).mean() / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-6)
    both = np.concatenate([alone, raw], axis=1)
    heavy = both * (counts[:, None] + 1) ** 0.25
    turn = np.linalg.eigh(heavy.T @ heavy)[1][:, ::-1][:, :size].astype(np.float32)
    shared = turn.T @ np.concatenate([basis, np.zeros_like(basis)])
    # Arora et al. 2017, "a simple but tough-to-beat baseline": a / (a + frequency)
    weight = 1e-3 / (1e-3 + counts / counts.sum())
    return (both @ turn).astype(np.float32), shared.astype(np.float32), np.log(weight).astype(np.float32)[:, None]


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

    def __init__(self, value, rate):
        self.value, self.rate = value, rate
        self.mean, self.square = np.zeros_like(value), np.zeros_like(value)
        self.times = np.zeros((len(value), 1), np.float32)

    def step(self, rows, slope, share):
        self.times[rows] += 1
        times = self.times[rows]
        mean = self.mean[rows] = 0.9 * self.mean[rows] + 0.1 * slope
        square = self.square[rows] = 0.999 * self.square[rows] + 0.001 * slope * slope
        self.value[rows] -= self.rate * share * (mean / (1 - 0.9**times)) / (np.sqrt(square / (1 - 0.999**times)) + 1e-9)


def alone_weighted(part, table, strength=REDUNDANT):
    """Pieces that say what the rest of the text says count less: exp(strength * cosine to the sum of the others)."""
    texts = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    sums = part @ table
    rows = table[part.indices]
    squares = (rows * rows).sum(axis=1)
    away = (rows * sums[texts]).sum(axis=1) - squares
    lengths = np.maximum(np.linalg.norm(sums, axis=1)[texts] * np.sqrt(squares), 1e-9)
    return csr_matrix((np.exp(strength * away / lengths).astype(np.float32), part.indices, part.indptr), shape=part.shape)


def neighbourhoods(rng, vectors):
    """Indices of a batch: some anchors and those that the teacher finds nearest to each, of a random part of all."""
    some = rng.choice(len(vectors), min(POOL, len(vectors)), replace=False)
    near = vectors[some[:ANCHORS]] @ vectors[some].T
    chosen = np.argpartition(-near, NEAR, axis=1)[:, :NEAR].ravel()
    picked = np.unique(chosen)
    rest = rng.choice(len(some), ANCHORS * NEAR - len(picked), replace=False)
    return some[np.concatenate([picked, rest])]


def train(parts, rows, targets, steps, mix, report):
    rng = np.random.default_rng(5)
    given = parts[0]
    shared, weight = Adam(parts[1], 3e-3), Adam(parts[2], 5e-2)
    own = Adam(np.zeros((len(given), targets.shape[1]), np.float32), 1e-3)
    for at in range(1, steps + 1):
        batch = neighbourhoods(rng, targets)
        part = rows[batch]
        touched, columns = np.unique(part.indices, return_inverse=True)
        part = csr_matrix((part.data, columns, part.indptr), shape=(len(batch), len(touched)))
        x, heavy = given[touched], np.exp(weight.value[touched])
        bare = x @ shared.value + own.value[touched]
        # how much each piece counts is taken as given: no slope goes through it
        part = alone_weighted(part, heavy * bare, REDUNDANT_TRAINED)
        value, slope = slope_of(part @ (heavy * bare), targets[batch], mix)
        slope = heavy * (part.T @ slope)
        share = min(1.0, at / 50) * max(0.02, 1 - at / steps)
        weight.step(touched, (slope * bare).sum(axis=1, keepdims=True), share)
        shared.step(slice(None), x.T @ slope, share)
        own.step(touched, slope, share)
        if at % 250 == 0 or at == steps:
            report(at, value, np.exp(weight.value) * (given @ shared.value + own.value))
    return np.exp(weight.value) * (given @ shared.value + own.value)


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
    parser.add_argument("--steps", type=int, default=1250)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--extra", type=int, default=1250)
    parser.add_argument("--mix", type=float, nargs=3, default=[1.0, 8.0, 0.3], help="direct, squares, order")
    parser.add_argument("--pairs", help="labelled pairs (JSON lines) to report on; never trained on")
    options = parser.parse_args()
    texts, vectors = load(options.data)
    base = base_vocabulary((Path(options.model) / "vocab.txt").read_text().splitlines())
    own = [word for word in dict.fromkeys(WORDS) if word not in set(base)]
    vocabulary = base + own + extra_words(texts, [*base, *own], options.extra)
    tokenizer = tokenizer_of(vocabulary)
    rows = pieces_of(tokenizer, texts, len(vocabulary))
    basis = directions(vectors, options.dimensions)
    counts = np.bincount(rows.indices, minlength=len(vocabulary)).astype(np.float64)
    parts = features(Teacher(options.model, options.onnx), options.model, vocabulary, counts, basis)
    print(f"{len(texts)} texts, {len(base)} + {len(vocabulary) - len(base)} pieces, {int((counts > 0).sum())} met", flush=True)
    report = reporter(options.pairs, tokenizer, len(vocabulary))
    first = np.exp(parts[2]) * (parts[0] @ parts[1])
    report(0, 0.0, first)
    table = first if options.steps == 0 else train(parts, rows, vectors @ basis, options.steps, options.mix, report)
    digest, size = write_table(options.out, vocabulary, table, tells(table, counts), FLOOR)
    print(f"{options.out}: {size} bytes, sha256 {digest}")


def reporter(path, tokenizer, unknown):
    if path is None:
        return lambda at, value, table: print(f"step {at}: loss {value:.4f}", flush=True)
    from table_eval import read_pairs, summary

    pairs = read_pairs(path)
    left, right = (pieces_of(tokenizer, [pair[side] for pair in pairs], unknown) for side in ("text_a", "text_b"))

    def report(at, value, table):
        a, b = (alone_weighted(side, table) @ table for side in (left, right))
        cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)
        print(f"step {at}: loss {value:.4f} {summary(pairs, cosine)}", flush=True)

    return report


if __name__ == "__main__":
    main()
