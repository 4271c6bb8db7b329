"""Pairs of questions of our own making for the verifier: what is asked, in several phrasings, about something, by several names.

Same question and same thing = one answer. Another question about the same thing, or the same question about another thing = not.
"""

import random

# Ways to ask one thing. {v} doing, {g} the same with -ing, {n} a thing.
DOING = {
    "how": "How do I {v}?|How can I {v}?|What is the best way to {v}?|What's the easiest way to {v}?|How to {v}?|Can you tell me how to {v}?"
    "|What should I do to {v}?|I want to {v}. How do I do it?|What are some ways to {v}?|Is there a good way to {v}?|What are the steps to {v}?"
    "|How does one {v}?|How do you {v}?|How should I {v}?|What can I do to {v}?|What do I have to do to {v}?|Please help me {v}|I need to {v}"
    "|What are good ways of {g}?|Any tips on how to {v}?|What is the process for {g}?|how do people {v}|What are your tips for {g}?|Could you show me how to {v}?",
    "why": "Why should I {v}?|Why should one {v}?|What's the point of {g}?|Is there any reason to {v}?|What is a good reason to {v}?|Why {v} at all?|What are the reasons for {g}?",
    "cost": "How much does it cost to {v}?|What does it cost to {v}?|What is the cost of {g}?|How expensive is it to {v}?|How much would I pay to {v}?|How much money do I need to {v}?",
    "duration": "How long does it take to {v}?|How much time do I need to {v}?|How many days does it take to {v}?|What time does it take to {v}?|How quickly can I {v}?",
    "when": "When should I {v}?|What is the best time to {v}?|When is it time to {v}?|When is a good time to {v}?|At what time should I {v}?",
    "where": "Where can I {v}?|Where is the best place to {v}?|What is a good place to {v}?|Where should I go to {v}?|Which places are good to {v}?",
    "allowed": "Is it legal to {v}?|Am I allowed to {v}?|Is {g} allowed?|Is {g} legal?|Is it against the law to {v}?",
    "safe": "Is it safe to {v}?|Is {g} safe?|Is it dangerous to {v}?|How safe is it to {v}?|Is there any danger in {g}?",
    "hard": "How hard is it to {v}?|Is it difficult to {v}?|Is {g} hard?|How difficult is {g}?|Is it easy to {v}?|How easy is it to {v}?",
    "need": "What do I need to {v}?|What is required to {v}?|What are the requirements for {g}?|Which things do I need in order to {v}?|What is necessary for {g}?",
    "possible": "Is it possible to {v}?|Can I {v}?|Can one {v}?|Is there a way to {v}?|Could I {v}?|Am I able to {v}?",
    "feel": "What does it feel like to {v}?|What is it like to {v}?|How does it feel to {v}?|What's your experience with {g}?",
    "happens": "What happens if I {v}?|What will happen when I {v}?|What would happen if I were to {v}?|What are the consequences if I {v}?",
    "cannot": "Why can't I {v}?|Why am I unable to {v}?|I can't {v}, why?|Why is it not possible to {v}?|Why does it not let me {v}?",
    "should": "Should I {v}?|Is it a good idea to {v}?|Is it worth it to {v}?|Is {g} worth it?|Is {g} a good idea?|Would you {v}?",
    "book": "What is a good book on how to {v}?|Which books help me to {v}?|What should I read to {v}?|Which book teaches how to {v}?",
    "app": "Which app helps me {v}?|What is the best app to {v}?|What app can I use to {v}?|Is there an app for {g}?|Which is the best software to {v}?",
}
THING = {
    "what": "What is {n}?|What's {n}?|What does {n} mean?|Can you explain {n}?|Explain {n}|Define {n}|What is meant by {n}?|What exactly is {n}?|Tell me what {n} is|What is the meaning of {n}?|what is the definition of {n}|Explain {n} in simple words",
    "works": "How does {n} work?|Can you explain how {n} works?|What is the working principle of {n}?|Explain how {n} works|In what way does {n} work?|how exactly does {n} work",
    "history": "What is the history of {n}?|Tell me the history of {n}|How did {n} begin?|What are the origins of {n}?|Where does {n} come from?|How did {n} come about?",
    "good": "What are the benefits of {n}?|What are the advantages of {n}?|Why is {n} good?|How is {n} useful?|What is good about {n}?|What benefits does {n} have?|What can {n} be good for?",
    "bad": "What are the disadvantages of {n}?|What are the drawbacks of {n}?|What is bad about {n}?|What are the downsides of {n}?|What are the problems with {n}?",
    "types": "What are the types of {n}?|What kinds of {n} are there?|Which types of {n} exist?|What are the different kinds of {n}?|How many types of {n} are there?",
    "price": "How much does {n} cost?|What is the price of {n}?|What does {n} cost?|How expensive is {n}?|What's the cost of {n}?|How much is {n}?",
    "buy": "Where can I buy {n}?|Where do I get {n}?|Where can I find {n}?|What is the best place to buy {n}?|Which shop sells {n}?|Where is {n} available?",
    "learn": "How can I learn about {n}?|What is the best way to learn {n}?|How do I learn {n}?|How should I start learning {n}?|How do I get started with {n}?|Where do I begin with {n}?|How do I study {n}?",
    "books": "What are the best books on {n}?|Which book about {n} is the best?|Can you recommend a good book about {n}?|What are good books for {n}?|Which are some good books to learn {n}?",
    "important": "Why is {n} important?|What is the importance of {n}?|What makes {n} important?|Why do we need {n}?|Why does {n} matter?|How important is {n}?",
    "examples": "What are some examples of {n}?|Can you give an example of {n}?|What is an example of {n}?|Give me examples of {n}|Which are examples for {n}?",
    "future": "What is the future of {n}?|How will {n} develop?|Does {n} have a future?|Where is {n} heading?|What will become of {n}?",
    "who": "Who invented {n}?|Who is the inventor of {n}?|Who came up with {n}?|By whom was {n} invented?|Who was the first to think of {n}?",
    "date": "When was {n} invented?|In which year was {n} invented?|How old is {n}?|Since when does {n} exist?|What year did {n} start?",
    "opinion": "What do you think about {n}?|What is your opinion on {n}?|How do you feel about {n}?|What are your thoughts on {n}?|What is your view of {n}?",
    "causes": "What causes {n}?|What are the causes of {n}?|Why does {n} happen?|What is the reason for {n}?|What leads to {n}?|How does {n} come about?",
    "effects": "What are the effects of {n}?|What does {n} do to people?|How does {n} affect us?|What is the impact of {n}?|What impact does {n} have?",
    "avoid": "How can I avoid {n}?|How do I prevent {n}?|What can be done against {n}?|How to stop {n}?|What is the best way to prevent {n}?|How do I get rid of {n}?",
    "choose": "How do I choose {n}?|What should I look for in {n}?|Which {n} should I take?|What matters when choosing {n}?|How do I find the right {n}?",
    "best": "What is the best {n}?|Which is the best {n}?|Which {n} is the best?|What's the best {n} out there?|Which {n} would you recommend?|Can you recommend a good {n}?",
    "safe": "Is {n} safe?|How safe is {n}?|Is {n} dangerous?|Is there any danger in {n}?|Can {n} do harm?",
    "real": "Is {n} real?|Does {n} really exist?|Is {n} a real thing?|Is {n} true?",
    "status": "Why is my {n} not working?|My {n} doesn't work, what do I do?|How do I fix my {n}?|What's wrong with my {n}?|My {n} is broken. How can I repair it?",
    "change": "How do I change my {n}?|I want to change my {n}|How can I update my {n}?|Where can I change my {n}?|What do I do to change my {n}?",
    "cancel": "How do I cancel my {n}?|I would like to cancel my {n}|Can I cancel my {n}?|What do I do to cancel my {n}?|How can my {n} be cancelled?",
    "where": "Where is my {n}?|I can't find my {n}|Where can I see my {n}?|Where do I find my {n}?|My {n} is missing",
    "write": "Write a poem about {n}|Please write a poem about {n}|Can you write a poem on {n}?|I need a poem about {n}|Compose a poem about {n}",
    "essay": "Write an essay on {n}|Can you write an essay about {n}?|I need an essay about {n}|Please draft an essay on {n}",
}
TWO = {
    "difference": "What is the difference between {n} and {m}?|What's the difference between {m} and {n}?|How are {n} and {m} different?|How does {n} differ from {m}?|What are the differences between {n} and {m}?|What distinguishes {n} from {m}?|{n} vs {m}, what is different?",
    "better": "Which is better, {n} or {m}?|Is {n} or {m} better?|Should I choose {n} or {m}?|What is better: {m} or {n}?|{m} or {n}, which one is better?|Which one should I prefer, {n} or {m}?",
    "affects": "How does {n} affect {m}?|What is the effect of {n} on {m}?|What influence does {n} have on {m}?|How is {m} affected by {n}?|What does {n} do to {m}?",
    "replace": "Can I use {n} instead of {m}?|Can {n} replace {m}?|Is {n} a substitute for {m}?|Could {m} be replaced with {n}?",
    "related": "How is {n} related to {m}?|What is the relationship between {n} and {m}?|How are {n} and {m} related?|What does {n} have to do with {m}?",
    "cause": "Does {n} cause {m}?|Can {n} cause {m}?|Is {m} caused by {n}?|Can you get {m} from {n}?|Is {n} a cause of {m}?",
    "in": "Why is {n} popular in {m}?|Why do people in {m} like {n}?|What makes {n} so popular in {m}?",
}

# One line = one thing to do, by several names: v=with -ing.
DOINGS = """lose weight=losing weight|get slimmer=getting slimmer|drop some weight=dropping some weight
improve my English=improving my English|get better at English=getting better at English
learn to play the piano=learning to play the piano|learn piano=learning piano
make money online=making money online|earn money on the internet=earning money on the internet
stop smoking=stopping smoking|quit smoking=quitting smoking|give up cigarettes=giving up cigarettes
fall asleep faster=falling asleep faster|get to sleep more quickly=getting to sleep more quickly
start a company=starting a company|found a business=founding a business|set up my own business=setting up my own business
remove a wine stain=removing a wine stain|get a wine stain out=getting a wine stain out
reset my password=resetting my password|get a new password=getting a new password
change my phone number=changing my phone number|update my phone number=updating my phone number
close my account=closing my account|delete my account=deleting my account|terminate my account=terminating my account
open a bank account=opening a bank account|get a bank account=getting a bank account
transfer money abroad=transferring money abroad|send money to another country=sending money to another country
book a hotel room=booking a hotel room|reserve a room in a hotel=reserving a room in a hotel
rent a car=renting a car|hire a car=hiring a car
repair a bicycle=repairing a bicycle|fix a bike=fixing a bike
train a puppy=training a puppy|teach a young dog=teaching a young dog
bake sourdough bread=baking sourdough bread|make sourdough bread=making sourdough bread
cook rice=cooking rice|prepare rice=preparing rice
grow tomatoes=growing tomatoes|raise tomato plants=raising tomato plants
sort a list in Python=sorting a list in Python|order the items of a Python list=ordering the items of a Python list
reverse a string in Java=reversing a string in Java|turn a Java string around=turning a Java string around
undo the last commit=undoing the last commit|revert my latest commit=reverting my latest commit
take a screenshot=taking a screenshot|capture the screen=capturing the screen
recover deleted photos=recovering deleted photos|get erased pictures back=getting erased pictures back
speed up my laptop=speeding up my laptop|make my computer faster=making my computer faster
learn to drive=learning to drive|get my driving licence=getting my driving licence
prepare for a job interview=preparing for a job interview|get ready for an interview=getting ready for an interview
find a new job=finding a new job|get another job=getting another job
write a cover letter=writing a cover letter
become a nurse=becoming a nurse
become a pilot=becoming a pilot
travel to Japan=travelling to Japan|visit Japan=visiting Japan|take a trip to Japan=taking a trip to Japan
move to Canada=moving to Canada|emigrate to Canada=emigrating to Canada
travel alone=travelling alone|travel by myself=travelling by myself
build muscle=building muscle|gain muscle=gaining muscle
lower my blood pressure=lowering my blood pressure|reduce my blood pressure=reducing my blood pressure
treat a cold=treating a cold|cure a cold=curing a cold
whiten my teeth=whitening my teeth|get white teeth=getting white teeth
clean a leather sofa=cleaning a leather sofa|clean a couch of leather=cleaning a couch of leather
get rid of ants=getting rid of ants|remove ants=removing ants
paint a wall=painting a wall
invest in shares=investing in shares|buy stocks=buying stocks
save money=saving money|put money aside=putting money aside
learn French=learning French|study French=studying French
read more books=reading more books
make new friends=making new friends|find friends=finding friends
get over a breakup=getting over a breakup|deal with a breakup=dealing with a breakup
speak in public=speaking in public|give a speech=giving a speech
write a novel=writing a novel|write a book=writing a book
return a parcel=returning a parcel|send a package back=sending a package back
get a refund=getting a refund|get my money back=getting my money back
track my order=tracking my order|follow my order=following my order
cancel my subscription=cancelling my subscription|end my subscription=ending my subscription
renew my passport=renewing my passport|get a new passport=getting a new passport
block my card=blocking my card|freeze my card=freezing my card
pay my bill=paying my bill|pay the invoice=paying the invoice
play chess=playing chess
run a marathon=running a marathon
take care of a cat=taking care of a cat|look after a cat=looking after a cat
sell my house=selling my house
buy a used car=buying a used car|purchase a second-hand car=purchasing a second-hand car
wake up early=waking up early|get up early=getting up early
control my anger=controlling my anger|stop being angry=ceasing to be angry
deploy a web app=deploying a web app|put a web application online=putting a web application online
parse JSON=parsing JSON
train a neural network=training a neural network
write unit tests=writing unit tests|test my code=testing my code
remember people's names=remembering people's names
peel garlic=peeling garlic
file my taxes=filing my taxes|do my tax return=doing my tax return"""
THINGS = """machine learning|ML
artificial intelligence|AI
quantum physics|quantum mechanics
photosynthesis
the stock market|the share market
global warming|climate change
a black hole
a blockchain|blockchain technology
a used car|a second-hand car
electric cars|electric vehicles
solar panels|photovoltaic panels
meditation
yoga
vitamin D
green tea
intermittent fasting
high blood pressure|hypertension
a heart attack
diabetes
migraine
acne|pimples
back pain|a sore back
insomnia|sleeplessness
hair loss|losing hair
depression
a credit card
a mortgage|a home loan
life insurance
inflation
a passport
a laptop|a notebook computer
a smartphone|a mobile phone
wireless headphones|bluetooth headphones
a coffee machine|a coffee maker
a vacuum cleaner
a mattress
running shoes
the Roman Empire
the French Revolution
the Cold War
World War 2|the Second World War
Buddhism
democracy
communism
the internet
the telephone
the steam engine
democracy in India
jazz
opera
impressionism
dark matter
gravity
evolution
DNA
a vaccine
antibiotics
Python|the Python language
JavaScript|JS
Docker
Kubernetes
a database index
recursion
a linked list
object-oriented programming|OOP
web development
data science
graphic design
photography
cooking
chess
football|soccer
public transport
remote work|working from home
social media
fake news
homework
nuclear energy|nuclear power
wind energy|wind power
a hybrid car
veganism|a vegan diet
sugar
caffeine
alcohol
smoking
tourism
my order
delivery address
phone number
email address
profile picture
subscription
gym membership
reservation|booking
monthly report
shopping list"""


def groups(text, verbs):
    made = []
    for line in text.split("\n"):
        names = [tuple(name.split("=")) if verbs else name for name in line.split("|")]
        made.append(names)
    return made


def fill(pattern, thing, other=None):
    if isinstance(thing, tuple):
        v, g = (thing + thing)[:2]
        return pattern.replace("{v}", v).replace("{g}", g)
    text = pattern.replace("my {n}", "my " + bare(thing)).replace("{n}", thing)
    return text.replace("{m}", other) if other else text


def bare(thing):
    for article in ("a ", "an ", "the ", "my "):
        if thing.startswith(article):
            return thing[len(article) :]
    return thing


def casual(text, rng):
    """As people type: small letters, no question mark."""
    way = rng.random()
    if way < 0.2:
        return text.lower().rstrip("?")
    if way < 0.27:
        return "Hi, " + text[0].lower() + text[1:]
    if way < 0.33:
        return text.rstrip("?.") + " please"
    if way < 0.4:
        return text.rstrip("?")
    return text


# A question that can be read as another one: not counted as different.
NEAR = {
    frozenset(pair)
    for pair in [
        ("how", "book"), ("how", "app"), ("how", "need"), ("how", "possible"), ("how", "cannot"), ("hard", "possible"), ("allowed", "possible"),
        ("allowed", "safe"), ("should", "why"), ("should", "safe"), ("feel", "hard"), ("what", "examples"), ("what", "works"), ("history", "date"),
        ("history", "who"), ("good", "important"), ("history", "causes"), ("learn", "books"), ("best", "choose"), ("real", "what"), ("opinion", "good"),
        ("effects", "bad"), ("effects", "good"), ("write", "essay"), ("safe", "bad"), ("effects", "safe"), ("change", "status"), ("price", "buy"),
        ("buy", "best"), ("difference", "related"), ("affects", "cause"), ("affects", "related"), ("difference", "better"), ("cause", "related"),
        ("where", "status"), ("causes", "works"), ("what", "history"), ("types", "examples"), ("who", "date"), ("how", "duration"), ("how", "where"),
    ]
}


# What narrows a question: with it, without it and with another one are three questions.
MODIFIERS = """in India|in Germany|for beginners|for children|without money|at home|at work|in winter|as a student|on a budget|for free
|after 40|while travelling|without a doctor|in the long run|for a wedding|with a partner|in a small town|by myself|quickly|on Linux|in Excel
|for women|for seniors|with diabetes|during pregnancy|in the USA|in a startup|from scratch|professionally|in the dark|with one hand""".replace("\n", "").split("|")
# Narrows nothing.
FILLERS = "actually|exactly|these days|in general|nowadays|for me".split("|")
SHAPES = """small|cheap|good|modern|old|electric|organic|international|digital|famous|free|simple|advanced|medical|public|private|local|online|natural|traditional""".split("|")


def narrowed(text, modifier):
    end = "?" if text.endswith("?") else ""
    return text.rstrip("?") + " " + modifier + end


def shaped(thing, shape):
    for article in ("a ", "an ", "the "):
        if thing.startswith(article):
            return ("a " if article != "the " else article) + shape + " " + thing[len(article) :]
    return shape + " " + thing


def siblings(groups_, at, rng):
    """Things near one in its list are of its kind: harder to tell apart than any two."""
    return groups_[max(0, min(len(groups_) - 1, at + rng.choice([-3, -2, -1, 1, 2, 3])))]


def one_family(ways, things, rng, count):
    kinds = {name: patterns.split("|") for name, patterns in ways.items()}
    names = list(kinds)
    for _ in range(count):
        kind = rng.choice(names)
        at = rng.randrange(len(things))
        group = things[at]
        other = siblings(things, at, rng) if rng.random() < 0.7 else rng.choice(things)
        mate = rng.choice([bare_group for bare_group in rng.sample(things, 2)])
        second, third = rng.choice(other), rng.choice(mate)
        two = ways is TWO
        a, b = rng.sample(kinds[kind], 2)
        mine, same = rng.choice(group), rng.choice(group)
        make = lambda pattern, thing, with_: casual(fill(pattern, thing, with_ if two else None), rng)
        base = make(a, mine, second)
        yield base, make(b, same, second), 1
        if other is not group:
            yield base, make(rng.choice([a, a, b]), second if not two else third, second), 0 if (not two or mate is not group) else 1
        if two and kind in ("affects", "replace", "cause") and other is not group:
            yield fill(a, mine, second), fill(a, second, mine), 0
        modifier, wrong = rng.sample(MODIFIERS, 2)
        way = rng.random()
        c, d = fill(a, mine, second if two else None), fill(rng.choice([a, b, b]), same, second if two else None)
        if way < 0.3:
            yield casual(narrowed(c, modifier), rng), casual(narrowed(fill(b, same, second if two else None), modifier), rng), 1
        elif way < 0.55:
            yield casual(narrowed(c, modifier), rng), casual(d, rng), 0
        elif way < 0.75:
            yield casual(narrowed(c, modifier), rng), casual(narrowed(d, wrong), rng), 0
        elif way < 0.8:
            yield casual(narrowed(c, rng.choice(FILLERS)), rng), casual(fill(b, same, second if two else None), rng), 1
        elif not isinstance(mine, tuple) and not two:
            shape, unlike = rng.sample(SHAPES, 2)
            if way < 0.87:
                yield casual(fill(a, shaped(mine, shape)), rng), casual(fill(b, shaped(same, shape)), rng), 1
            elif way < 0.94:
                yield casual(fill(a, shaped(mine, shape)), rng), casual(fill(b, same), rng), 0
            else:
                yield casual(fill(a, shaped(mine, shape)), rng), casual(fill(b, shaped(same, unlike)), rng), 0
        rival = rng.choice(names)
        if rival != kind and frozenset((rival, kind)) not in NEAR:
            yield base, make(rng.choice(kinds[rival]), same, second), 0


def grammar(count, seed=7):
    """About 3 * 3 * count pairs: (a, b, label)."""
    rng = random.Random(seed)
    doings, things = groups(DOINGS, True), groups(THINGS, False)
    for ways, filled in ((DOING, doings), (THING, things), (TWO, things)):
        yield from one_family(ways, filled, rng, count if ways is not TWO else count // 2)
