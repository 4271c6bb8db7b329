"""Measures scores of labelled pairs: AUC and the share of true pairs accepted at 1, 2 and 5 % of the false ones ("h@").

    python table_eval.py --pairs pairs.jsonl --model DIR --onnx PATH      the teacher
    python table_eval.py --pairs pairs.jsonl --scores scores.json         cosines of another program, in the order of the pairs
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import rankdata


def read_pairs(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def auc(labels, scores):
    ranks = rankdata(scores)
    true = labels.sum()
    return (ranks[labels == 1].sum() - true * (true + 1) / 2) / (true * (len(labels) - true))


def hits(labels, scores, share):
    return (scores[labels == 1] > np.quantile(scores[labels == 0], 1 - share)).mean()


def figures(pairs, scores):
    labels, sources = np.array([p["label"] for p in pairs]), np.array([p["source"] for p in pairs])
    for name in [*dict.fromkeys(sources.tolist()), "all"]:
        part = np.ones(len(labels), bool) if name == "all" else sources == name
        yield name, auc(labels[part], scores[part]), [hits(labels[part], scores[part], share) for share in (0.01, 0.02, 0.05)]


def summary(pairs, scores):
    return " | ".join(f"{name} {value:.4f} " + "/".join(f"{100 * h:.0f}" for h in found) for name, value, found in figures(pairs, scores))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", required=True)
    for name in ("scores", "model", "onnx"):
        parser.add_argument("--" + name)
    options = parser.parse_args()
    pairs = read_pairs(options.pairs)
    if options.scores:
        scores = np.array(json.loads(Path(options.scores).read_text()))
    else:
        from teacher import Teacher

        teacher = Teacher(options.model, options.onnx)
        left, right = (teacher.encode([pair[side] for pair in pairs]).astype(np.float32) for side in ("text_a", "text_b"))
        scores = (left * right).sum(axis=1)
    print(summary(pairs, scores))


if __name__ == "__main__":
    main()
