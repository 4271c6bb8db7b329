"""Collects the texts the token table is trained on, one JSON object a line: {"text", "source", "group"?}.

    python data_texts.py --sources DIR --wordnet /usr/share/wordnet --out texts.jsonl [--exclude FILE...]

DIR holds one folder (a git directory or a checkout) per repository of README.md, which names each licence. A source that
is not there is left out with a warning. Texts of --exclude (JSON lines; every string in them) are never taken: what
judges the table must not have trained it. group: texts of one intent of one data set.
"""

import argparse
import csv
import gzip
import io
import json
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from data_questions import questions

SPACE = re.compile(r"\s+")
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")


class Repo:
    """Files of one repository: of a checkout, or of the newest commit of a bare git directory."""

    def __init__(self, place):
        self.place = place
        self.batch = None
        self.git = next((p for p in (place / "repo" / ".git", place / "repo", place / ".git", place) if (p / "HEAD").is_file()), None)
        if self.git is None:
            self.names = sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())
        else:
            lines = self._git("ls-tree", "-r", "-l", "HEAD").decode().splitlines()
            self.names = sorted(line.split("\t", 1)[1] for line in lines if line.split()[3] != "BAD")

    def _git(self, *words):
        return subprocess.run(["git", f"--git-dir={self.git}", *words], check=True, capture_output=True).stdout

    def read(self, name):
        if self.git is None:
            return (self.place / name).read_bytes()
        if self.batch is None:
            command = ["git", f"--git-dir={self.git}", "cat-file", "--batch"]
            self.batch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.batch.stdin.write(f"HEAD:{name}\n".encode())
        self.batch.stdin.flush()
        size = int(self.batch.stdout.readline().split()[2])
        return self.batch.stdout.read(size + 1)[:size]

    def text(self, name):
        return self.read(name).decode("utf-8", "replace")

    def matching(self, pattern):
        return [name for name in self.names if re.search(pattern, name)]


def banking77(repo):
    for row in csv.DictReader(io.StringIO(repo.text("banking_data/train.csv"))):
        yield row["text"], row["category"]
    for name in repo.matching(r"^nlupp/data/.*/fold[0-9]+\.json$"):
        for row in json.loads(repo.text(name)):
            yield row["text"], None


def clinc150(repo):
    data = json.loads(repo.text("data/data_full.json"))
    for part in ("train", "oos_train"):
        for text, label in data[part]:
            yield text, None if label == "oos" else label


def hwu64(repo):
    for name in repo.matching(r"autoGene_.*/KFold_1/trainset/[a-z_]+\.csv$"):
        for row in csv.DictReader(io.StringIO(repo.text(name)), delimiter=";"):
            yield row["answer_from_user"] or row["answer_from_anno"] or "", Path(name).stem


def slurp(repo):
    for name in repo.matching(r"dataset/slurp/[a-z]+\.jsonl$"):
        for line in repo.text(name).splitlines():
            row = json.loads(line)
            yield row["sentence"], row["intent"]


def snips(repo):
    for name in repo.matching(r"custom-intent-engines/.*/train_.*_full\.json$"):
        data = json.loads(repo.read(name).decode("latin-1"))
        for intent, rows in data.items():
            for row in rows:
                yield "".join(part["text"] for part in row["data"]), intent


def webquestions(repo):
    for name in repo.matching(r"^main/.*\.json$"):
        for row in json.loads(repo.text(name)):
            yield row["qText"], None


def paraqa(repo):
    for name in repo.matching(r"^dataset/.*\.json$"):
        for row in json.loads(repo.text(name)):
            yield row["question"], None
            for key in ("verbalized_answer", "verbalized_answer_2"):
                yield row[key].replace("[", "").replace("]", ""), row["uid"]


def hybridqa(repo):
    for name in repo.matching(r"^released_data/(dev|test|train)\.json$"):
        for row in json.loads(repo.text(name)):
            yield row["question"], None


def piqa(repo):
    for name in repo.matching(r"^piqa/data/(valid|tests|train)\.jsonl$"):
        for line in repo.text(name).splitlines():
            row = json.loads(line)
            yield row["goal"], None
            yield row["sol1"], None


def multidogo(repo):
    for name in repo.matching(r"splits_annotated_at_sentence_level/[a-z]+/(train|dev|test)\.tsv$"):
        for row in csv.DictReader(io.StringIO(repo.text(name)), delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row["utterance"], None


def taskmaster(repo):
    for name in repo.matching(r"^TM-4-2024/data/data_0[0-9]\.json$"):
        for talk in json.loads(repo.text(name)):
            for turn in talk["utterances"]:
                if turn["speaker"].lower() == "user":
                    yield turn["text"], None


def medquad(repo):
    for name in repo.matching(r"\.xml$"):
        root = ElementTree.fromstring(repo.text(name))
        for pair in root.iter("QAPair"):
            question, answer = pair.find("Question"), pair.find("Answer")
            if question is not None and question.text:
                yield question.text.replace("What is (are)", "What is"), None
            if answer is not None and answer.text:
                for sentence in SENTENCE.split(SPACE.sub(" ", answer.text))[:3]:
                    yield sentence, None


def pubmedqa(repo):
    for row in json.loads(repo.text("data/ori_pqal.json")).values():
        yield row["QUESTION"], None


def prompts(repo):
    for name in repo.matching(r"base/test\.jsonl\.gz$"):
        data = repo.read(name)
        if data[:2] != b"\x1f\x8b":
            continue
        for line in gzip.decompress(data).decode().splitlines():
            for turn in json.loads(line)["chosen"].split("\n\nHuman:")[1:]:
                question, *answers = turn.split("\n\nAssistant:")
                yield question, None
                for answer in answers:
                    for sentence in SENTENCE.split(SPACE.sub(" ", answer)):
                        yield sentence, None


def self_dialogues(repo):
    for name in repo.matching(r"^corpus/.*\.csv$"):
        for row in csv.DictReader(io.StringIO(repo.text(name))):
            for column, text in row.items():
                if column and column.startswith("Answer.sentence"):
                    yield text, None


def strategyqa(repo):
    for name in repo.matching(r"^data/strategyqa/(train|dev)\.json$"):
        for row in json.loads(repo.text(name)):
            yield row["question"], None
            for part in row["decomposition"]:
                yield part if "#" not in part else None, None
            for fact in row["facts"]:
                yield fact, None


def markdown(repo):
    """Prose and headings, without code, lists of links and markup."""
    for name in repo.matching(r"^(src/content|content|pages|_pages)/.*\.mdx?$"):
        text = re.sub(r"```.*?```|<!--.*?-->|^---.*?^---", " ", repo.text(name), flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"<[^>]*>|\{[^}]*\}|[*`#>|]", "", text))
        for block in re.split(r"\n\s*\n|\n[-\d]", text):
            for sentence in SENTENCE.split(SPACE.sub(" ", block)):
                if 3 < len(sentence.split()) < 50:
                    yield sentence, None


def wordnet(place):
    for part in ("noun", "verb", "adj", "adv"):
        for line in (place / f"data.{part}").read_text("latin-1").splitlines():
            if line.startswith("  ") or " | " not in line:
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            count = int(fields[3], 16)
            words = [re.sub(r"\(.*\)", "", fields[4 + 2 * n]).replace("_", " ") for n in range(count)]
            definition = gloss.split('"')[0].strip().rstrip(";").strip()
            yield f"{words[0]}: {definition}", None
            if len(words) > 1:
                yield f"{', '.join(words)}", None
            for example in re.findall(r'"([^"]{8,})"', gloss)[:2]:
                yield example, None


SOURCES = {
    "PolyAI-LDN/task-specific-datasets": banking77,
    "clinc/oos-eval": clinc150,
    "xliuhw/NLU-Evaluation-Data": hwu64,
    "pswietojanski/slurp": slurp,
    "snipsco/nlu-benchmark": snips,
    "brmson/dataset-factoid-webquestions": webquestions,
    "barshana-banerjee/ParaQA": paraqa,
    "wenhuchen/HybridQA": hybridqa,
    "ybisk/ybisk.github.io": piqa,
    "awslabs/multi-domain-goal-oriented-dialogues-dataset": multidogo,
    "google-research-datasets/Taskmaster": taskmaster,
    "abachaa/MedQuAD": medquad,
    "pubmedqa/pubmedqa": pubmedqa,
    "anthropics/hh-rlhf": prompts,
    "jfainberg/self_dialogue_corpus": self_dialogues,
    "eladsegal/strategyqa": strategyqa,
    "reactjs/react.dev": markdown,
    "18F/guides": markdown,
}
# at most so many texts of one source, drawn at random: dialogue turns would drown the questions
MOST = {"jfainberg/self_dialogue_corpus": 40_000, "awslabs/multi-domain-goal-oriented-dialogues-dataset": 25_000, "google-research-datasets/Taskmaster": 12_000, "abachaa/MedQuAD": 32_000, "wordnet": 90_000, "ybisk/ybisk.github.io": 8_000}


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def key(text):
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def collect(options):
    seen = set()
    for name in options.exclude:
        for line in Path(name).read_text().splitlines():
            seen.update(key(text) for text in strings(json.loads(line)))
    readers = []
    for name, read in SOURCES.items():
        place = next((p for p in (Path(options.sources) / name.replace("/", "+"), Path(options.sources) / name) if p.is_dir()), None)
        if place is None:
            print(f"left out, not there: {name}", file=sys.stderr)
        else:
            readers.append((name, read(Repo(place))))
    readers.append(("wordnet", wordnet(Path(options.wordnet))))
    readers.append(("own", ((text, None) for text in questions(Path(options.wordnet), options.own))))
    for name, rows in readers:
        kept = []
        for text, group in rows:
            text = SPACE.sub(" ", text or "").strip()[:400]
            mark = key(text)
            if 3 < len(mark) and mark not in seen:
                seen.add(mark)
                kept.append({"text": text, "source": name, **({"group": group} if group else {})})
        random.Random(7).shuffle(kept)
        kept = kept[: MOST.get(name, len(kept))]
        print(f"{len(kept):7d} {name}", file=sys.stderr)
        yield from kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sources", required=True)
    parser.add_argument("--wordnet", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--own", type=int, default=160_000, help="how many questions of our own making")
    parser.add_argument("--exclude", nargs="*", default=[])
    options = parser.parse_args()
    with open(options.out, "w") as out:
        for row in collect(options):
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
