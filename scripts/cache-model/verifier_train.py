"""Trains the verifier's weights from features that verifier-features.ts computed, and says how good they are on other pairs.

usage: verifier_train.py --train FEATURES --out config/semantic/verifier.json [--measure FEATURES ...]
Needs: lightgbm 4.7.0, scikit-learn 1.9.1, numpy 2.4.6.

Trees are few and small and monotone: more likeness never lowers a score and more loss never raises it, so that what was
not in the data is judged by sense. Pairs with a veto teach nothing: the score is not asked there. Pairs of one source weigh
as much as those of another.
"""

import argparse
import json

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

UP = """cosine stemJaccard contentJaccard weightedJaccard gramDice meanLow meanHigh contentLow contentHigh leastLow leastHigh secondLow
secondHigh sequenceRatio bigramDice sameAsk""".split()
DOWN = "lostLow lostHigh strangersLow strangersHigh unknownHigh inversions numbersOneSided negationDiffers opposites marksOneSided namesLow namesHigh".split()
# Not learnt from: how long texts are and how they begin tells one collection of pairs from another, not true from false.
DROP = """lengthLow lengthHigh contentCountLow contentCountHigh askKind firstSame numbersShared marksShared namesShared han codeOrQuote""".split()
# Weight of a source and of its positive pairs; the rest is 1.
SHARE = {"tatoeba": 1.0, "grammar": 1.0, "clinc150": 0.7, "banking77": 0.7, "hwu64": 0.5, "tatoeba-zh": 1.0}


def read(path):
    with open(path, encoding="utf-8") as lines:
        names = json.loads(next(lines))
        return names, [json.loads(line) for line in lines]


def constraints(names):
    return [1 if name in UP else -1 if name in DOWN else 0 for name in names]


def fit(names, rows, trees, leaves, seed=5):
    x = np.array([row["x"] for row in rows]) * np.array([name not in DROP for name in names])
    y = np.array([row["label"] for row in rows])
    weight = np.array([row["weight"] * SHARE.get(row["source"], 1.0) for row in rows])
    for source in SHARE:
        mine = np.array([row["source"] == source for row in rows])
        # Each source half positive by weight, and as heavy as its share.
        for label in (0, 1):
            part = mine & (y == label)
            if part.any():
                weight[part] *= SHARE[source] * 1000 / weight[part].sum()
    model = lightgbm.LGBMClassifier(
        n_estimators=trees, num_leaves=leaves, learning_rate=0.08, min_child_samples=60, min_child_weight=0.5, reg_lambda=5.0,
        subsample=0.8, subsample_freq=1, colsample_bytree=0.6, monotone_constraints=constraints(names),
        monotone_constraints_method="intermediate", random_state=seed, n_jobs=2, verbose=-1, deterministic=True, force_row_wise=True,
    )
    weight *= len(weight) / weight.sum()
    return model.fit(x, y, sample_weight=weight)


def flat(model):
    """Trees as the lists of src/cache/verify/trees.ts: children behind their parents."""
    out = {"base": 0, "roots": [], "feature": [], "threshold": [], "left": [], "right": []}

    def add(node):
        at = len(out["feature"])
        inner = "split_feature" in node
        out["feature"].append(node["split_feature"] if inner else -1)
        out["threshold"].append(round(node["threshold"] if inner else node["leaf_value"], 5))
        out["left"].append(0)
        out["right"].append(0)
        if inner:
            out["left"][at] = add(node["left_child"])
            out["right"][at] = add(node["right_child"])
        return at

    for tree in model.booster_.dump_model()["tree_info"]:
        out["roots"].append(add(tree["tree_structure"]))
    return out


def accepted(y, score, share):
    """Share of true pairs above the score that lets `share` of the false ones through."""
    false = np.sort(score[y == 0])[::-1]
    bar = false[min(int(share * len(false)), len(false) - 1)]
    return float((score[y == 1] > bar).mean())


def say(title, y, score):
    print(f"{title:34} AUC {roc_auc_score(y, score):.3f}  h@1/2/5 " + "/".join(f"{100 * accepted(y, score, s):.1f}" for s in (0.01, 0.02, 0.05)))


def measure(models, path):
    _, rows = read(path)
    y = np.array([row["label"] for row in rows])
    x = np.array([row["x"] for row in rows])
    score = models[0].predict_proba(x)[:, 1]
    chinese = np.array([row["chinese"] for row in rows])
    if chinese.any():
        score[chinese] = models[1].predict_proba(x[chinese])[:, 1]
    veto = np.array([row["veto"] is not None for row in rows])
    vetoed = np.where(veto, score - 1, score)
    kinds = {"all": np.ones(len(rows), bool)}
    for source in sorted({row["source"] for row in rows}):
        kinds[source] = np.array([row["source"] == source for row in rows])
    for name, mine in kinds.items():
        if 0 < y[mine].sum() < mine.sum() and mine.sum() > 60:
            for title, value in (("cosine", x[:, 0]), ("score", score), ("score, vetoes", vetoed), ("mean", score + x[:, 0]), ("mean, vetoes", vetoed + x[:, 0])):
                say(f"{name} {title}", y[mine], value[mine])
    return score, veto, y


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--trees", type=int, default=120)
    parser.add_argument("--leaves", type=int, default=6)
    parser.add_argument("--measure", nargs="*", default=[])
    asked = parser.parse_args()
    names, rows = read(asked.train)
    rows = [row for row in rows if row["veto"] is None]
    english = fit(names, [row for row in rows if not row["chinese"]], asked.trees, asked.leaves)
    chinese = fit(names, [row for row in rows if row["chinese"]], 60, 8)
    for title, model in (("en", english), ("zh", chinese)):
        gain = model.booster_.feature_importance("gain")
        best = np.argsort(-gain)[:14]
        print(title, " ".join(f"{names[i]}:{100 * gain[i] / gain.sum():.0f}" for i in best))
    with open(asked.out, "w", encoding="utf-8") as out:
        json.dump({"version": asked.version, "features": names, "en": flat(english), "zh": flat(chinese)}, out, separators=(",", ":"))
        out.write("\n")
    for path in asked.measure:
        print("##", path)
        measure((english, chinese), path)


if __name__ == "__main__":
    main()
