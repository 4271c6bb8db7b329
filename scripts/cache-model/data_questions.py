"""Questions of our own making: patterns of how people ask, filled with words and phrases of WordNet and lists of ours.

What they mean matters little (the teacher says how near two of them are); that they hold the words people use, in the
shapes people use, does. Each topic comes in several patterns and each pattern with neighbouring topics, so that batches
hold look-alikes that differ in one thing.
"""

import itertools
import random
import re

NAMES = """India|China|the USA|Canada|Germany|Japan|Australia|London|New York|California|Bangalore|Delhi|Mumbai|Paris|Dubai|Singapore
|Pakistan|Brazil|Russia|Israel|Korea|Mexico|Nigeria|the UK|Europe|Africa|Google|Facebook|Amazon|Apple|Microsoft|Twitter|Instagram
|WhatsApp|YouTube|Gmail|Snapchat|Uber|Netflix|PayPal|LinkedIn|Quora|Wikipedia|Tesla|Samsung|Android|iPhone|Windows 10|Linux|Ubuntu
|Python|Java|JavaScript|C++|PHP|Rust|Go|TypeScript|React|Angular|Node.js|Django|SQL|MySQL|PostgreSQL|MongoDB|Redis|Docker|Kubernetes
|AWS|Azure|Git|GitHub|Excel|Photoshop|WordPress|Hadoop|TensorFlow|Bitcoin|Ethereum|MBA|PhD|GRE|GMAT|IELTS|TOEFL|SAT|CAT|GATE|UPSC
|IIT|MIT|Harvard|Stanford|Oxford|NASA|the UN|Donald Trump|Hillary Clinton|Barack Obama|Narendra Modi|Elon Musk|Bill Gates
|Steve Jobs|Einstein|Shakespeare|Hitler|Game of Thrones|Harry Potter|Star Wars|Pokemon GO|Batman|Superman|Marvel|Minecraft
|World War 2|World War 3|Brexit|the Cold War|Christianity|Islam|Hinduism|Buddhism|English|Spanish|French|German|Chinese|Hindi"""
JOBS = """data scientist|software engineer|doctor|lawyer|teacher|nurse|pilot|web developer|writer|accountant|chef|musician|scientist
|civil engineer|mechanical engineer|product manager|graphic designer|actor|entrepreneur|consultant|police officer|photographer"""
DOINGS = """lose weight|gain weight|make money online|learn to code|learn English|improve my English|speak fluently|get a job|quit my job
|start a business|start a blog|write a book|write a resume|prepare for an interview|study abroad|get a scholarship|get a visa
|get over a breakup|make friends|find a girlfriend|stop smoking|stop drinking|sleep better|wake up early|stop procrastinating
|be more confident|control my anger|overcome depression|deal with anxiety|grow taller|build muscle|lose belly fat|get rid of acne
|remove dark circles|regrow hair|stop hair fall|whiten my teeth|cure a headache|treat a cold|lower my blood pressure|reduce stress
|save money|invest in stocks|buy a house|rent an apartment|sell my car|buy a laptop|fix my phone|reset my password
|recover deleted photos|recover my account|delete my account|hack an account|change my email address|cancel my order|track my package
|return an item|get a refund|cancel my subscription|update my address|transfer money|open a bank account|apply for a credit card
|block my card|dispute a charge|increase my limit|pay my bill|book a flight|change my flight|check in online|rent a car|find a hotel
|cook rice|bake a cake|make coffee|make pizza|clean my room|remove a stain|fix a leak|paint a wall|train a dog|feed a cat|grow tomatoes
|install Windows|install Python|connect to wifi|speed up my computer|remove a virus|take a screenshot|download videos
|sort a list|reverse a string|read a file|parse JSON|connect to a database|merge two branches|undo a commit|write unit tests
|deploy an app|build a website|center a div|debug a memory leak|train a neural network|learn machine learning|learn data structures
|play guitar|learn piano|draw a face|take good photos|become famous|become rich|be happy|be successful|live alone|get married
|get divorced|raise a child|get pregnant|avoid pregnancy|donate blood|see a doctor|take ibuprofen|take antibiotics|stop bleeding
|treat a burn|travel to Europe|travel alone|move to Canada|learn to drive|get a license|register a company|file my taxes|read faster
|study for exams|improve my memory|improve my writing|concentrate better|pass the exam|crack the interview|get into college"""
TOPIC = """What is {t}?|What is {t}|what's {t}|What are {t}s?|What does {t} mean?|What is the meaning of {t}?|Define {t}.|Can you explain {t}?
|Explain {t} in simple terms.|Explain {t} to a five year old|How does {t} work?|How do {t}s work?|Why is {t} important?|Why is {t} so {a}?
|Why do people like {t}?|Why do people hate {t}?|What causes {t}?|What are the symptoms of {t}?|How is {t} treated?|How can I treat {t}?
|Is there a cure for {t}?|Can {t} be cured?|Can {t} cause {u}?|Does {t} cause {u}?|How long does {t} last?|Is {t} dangerous?|Is {t} safe?
|Is {t} good for you?|Is {t} bad for your health?|What are the side effects of {t}?|What are the benefits of {t}?
|What are the advantages of {t}?|What are the disadvantages of {t}?|What are the pros and cons of {t}?|What are the types of {t}?
|What are some examples of {t}?|What is an example of {t}?|What is the best {t}?|What are the best {t}s?|Which is the best {t} in {n}?
|What are the best books on {t}?|What are the best books about {t}?|Where can I learn {t}?|How can I learn {t}?|How do I learn about {t}?
|How do I get better at {t}?|How do I start with {t}?|How much does {t} cost?|How much does a {t} cost in {n}?|What is the price of {t}?
|Where can I buy {t}?|Where can I find a {t}?|Who invented {t}?|Who discovered {t}?|When was {t} invented?|What is the history of {t}?
|What is the future of {t}?|What is the purpose of {t}?|How is {t} made?|How do you make {t}?|How do you use a {t}?|How do I choose a {t}?
|How do I get rid of {t}?|How can I avoid {t}?|How do I prevent {t}?|How do I fix {t}?|How do I remove {t} from {u}?
|What is the difference between {t} and {u}?|What's the difference between a {t} and a {u}?|Which is better, {t} or {u}?|{t} vs {u}
|Is {t} better than {u}?|Is {u} better than {t}?|How is {t} related to {u}?|How does {t} affect {u}?|How does {u} affect {t}?
|Can I use {t} instead of {u}?|Can I use {t} with {u}?|Can I use {t} without {u}?|Is a {t} a {u}?|How do I convert {t} to {u}?
|How do I convert {u} to {t}?|Is {t} legal in {n}?|Why is {t} illegal in {n}?|Is {t} real?|Does {t} really exist?|What is {t} like in {n}?
|What do you think about {t}?|What do {n} people think of {t}?|What is the most {a} {t}?|What is a {a} {t}?|What makes a {t} {a}?
|What if there was no {t}?|What would happen if {t} was {a}?|What should I know about {t}?|What are some {a} facts about {t}?
|Tell me about {t}|Tell me something about {t} in {n}|Write a poem about {t}|Write an essay on {t}|Write a short story about {t} and {u}
|Summarize the history of {t}|Give me ten ideas for {t}|List five kinds of {t}|Give me tips for {t}|I need help with my {t}
|I have a question about {t}|I lost my {t}, what should I do?|My {t} is not working|My {t} is broken|Why is my {t} not working?
|How do I change my {t}?|How do I cancel my {t}?|How do I return my {t}?|Where is my {t}?|How many {t}s are there in {n}?
|How many {t}s are there?|How big is a {t}?|Do I need a {t}?|Should I get a {t}?|Should I buy {t} or {u}?|I am looking for a {a} {t}
|translate {t} into {n}|synonyms of {t}|what rhymes with {t}|{a} {t}|{t} and {u}|the {t} of {u}|{t}|{t} in {n}|no {t}|without {t}"""
NAME = """What is {n}?|What is {n} known for?|Who is {n}?|What do you think of {n}?|Why is {n} so popular?|Why is {n} so {a}?|What is it like to live in {n}?
|What is it like to work at {n}?|How do I get a job at {n}?|Is {n} worth it?|Is {n} better than {m}?|Is {m} better than {n}?|{n} or {m}?
|What is the difference between {n} and {m}?|How can I learn {n}?|What is the best way to learn {n}?|How long does it take to learn {n}?
|What are the best {n} tutorials?|How do I install {n}?|How do I use {n}?|How do I use {n} with {m}?|How do I connect {n} to {m}?
|How do I move from {n} to {m}?|What are the alternatives to {n}?|What are the best places to visit in {n}?|How do I prepare for {n}?
|What will happen to {n}?|Will {n} survive?|Why did {n} fail?|What if {n} never existed?|How does {n} make money?|What are some facts about {n}?
|Is {n} a good {t}?|What is the {t} of {n}?|Who owns {n}?|When did {n} start?|What is the capital of {n}?|What is the weather in {n}?
|What time is it in {n}?|What is the population of {n}?|What language is spoken in {n}?|How far is {n} from {m}?|flights from {n} to {m}"""
DOING = """How do I {d}?|How can I {d}?|how to {d}|What is the best way to {d}?|What's the easiest way to {d}?|What is the fastest way to {d}?
|How should I {d}?|What should I do to {d}?|I want to {d}|I'd like to {d}|I need to {d}, can you help?|Can you help me {d}?|Help me {d} please
|please tell me how to {d}|Is it possible to {d}?|Can I {d}?|Can I {d} without {t}?|Can I {d} with {t}?|Should I {d}?|Should I {d} or {e}?
|Should I {e} or {d}?|Why should I {d}?|Why can't I {d}?|Why do people {d}?|Is it hard to {d}?|Is it legal to {d} in {n}?|Is it safe to {d}?
|Is it good to {d}?|Is it bad to {d}?|How long does it take to {d}?|How much does it cost to {d}?|What do I need to {d}?|When should I {d}?
|Where can I {d}?|Where can I {d} in {n}?|How do I {d} in {n}?|How do I {d} on {n}?|How do I {d} using {n}?|How do I {d} at home?|How do I {d} fast?
|How do I {d} in one week?|How do I {d} in 30 days?|How do I {d} for free?|What happens if I {d}?|What happens if I don't {d}?|I can't {d}
|I don't want to {d}|How do I not {d}?|How do I {d} and {e}?|What are some tips to {d}?|What are some ways to {d}?|What are the steps to {d}?
|What app can I use to {d}?|Who can help me {d}?|How do I {d} as a {j}?|How did you {d}?|Did you ever {d}?|What is the first step to {d}?
|Do I have to {d}?|Do I need {t} to {d}?|I am trying to {d} but I don't know how|I tried to {d} and it did not work|the best {t} to {d}"""
JOB = """How do I become a {j}?|How can I become a good {j}?|What does a {j} do?|How much does a {j} earn in {n}?|What is the salary of a {j}?
|Is it worth becoming a {j}?|What is it like to be a {j}?|What skills does a {j} need?|What should I study to become a {j}?
|I am a {j}, how do I become a {k}?|What is the difference between a {j} and a {k}?|Which is better, {j} or {k}?|What questions are asked in a {j} interview?"""


def split(text):
    return [part.strip() for part in text.replace("\n", "").split("|") if part.strip()]


def lemmas(place, part):
    """Lemmas of a part of speech with how often WordNet's tagged texts have them (+1)."""
    counts = {}
    for line in (place / "cntlist.rev").read_text("latin-1").splitlines():
        sense, _, count = line.split()
        lemma, code = sense.split("%")
        if code[0] == {"noun": "1", "verb": "2", "adj": "3"}[part]:
            counts[lemma] = counts.get(lemma, 0) + int(count)
    out = {}
    for line in (place / f"index.{part}").read_text("latin-1").splitlines():
        if not line.startswith("  "):
            lemma = line.split()[0]
            if re.fullmatch(r"[a-z][a-z_'-]+", lemma) and lemma.count("_") < 3:
                out[lemma.replace("_", " ")] = counts.get(lemma, 0) + 1
    return out


def verb_phrases(place):
    """Definitions of verbs are phrases of what one may do."""
    out = []
    for line in (place / "data.verb").read_text("latin-1").splitlines():
        if line.startswith("  ") or " | " not in line:
            continue
        gloss = re.sub(r"\([^)]*\)", "", line.split(" | ", 1)[1]).split(";")[0].split('"')[0].strip()
        if 2 <= len(gloss.split()) <= 7 and re.fullmatch(r"[a-z' ,-]+", gloss):
            out.append(gloss)
    return out


def questions(place, count, seed=11):
    rng = random.Random(seed)
    nouns = lemmas(place, "noun")
    names = sorted(nouns)
    # most nouns of WordNet are never met by anyone; some of them are kept, so that rare pieces are trained too
    weights = list(itertools.accumulate(nouns[n] ** 0.6 if nouns[n] > 1 else 0.06 for n in names))
    adjectives = lemmas(place, "adj")
    kinds = [a for a in sorted(adjectives) if adjectives[a] > 3 and " " not in a]
    doings, phrases, verbs = split(DOINGS), verb_phrases(place), lemmas(place, "verb")
    common = [v for v in sorted(verbs) if verbs[v] > 2]
    proper, jobs = split(NAMES), split(JOBS)
    patterns = [(split(TOPIC), 10), (split(DOING), 8), (split(NAME), 3), (split(JOB), 1)]

    def topic():
        return rng.choices(names, cum_weights=weights)[0]

    def doing():
        roll = rng.random()
        if roll < 0.45:
            return rng.choice(doings)
        return rng.choice(phrases) if roll < 0.7 else f"{rng.choice(common)} {rng.choice(['a', 'the', 'my', 'your'])} {topic()}"

    for _ in range(count // 3):
        fill = {"t": topic(), "u": topic(), "a": rng.choice(kinds), "d": doing(), "e": doing()}
        fill["n"], fill["m"] = rng.sample(proper, 2)
        fill["j"], fill["k"] = rng.sample(jobs, 2)
        (kind,) = rng.choices([p for p, _ in patterns], [w for _, w in patterns])
        for pattern in rng.sample(kind, 2):
            yield pattern.format(**fill)
        # the look-alike: the same pattern, one slot changed
        yield pattern.format(**{**fill, "t": topic(), "d": doing(), "n": rng.choice(proper), "j": rng.choice(jobs)})
