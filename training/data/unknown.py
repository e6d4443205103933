"""What qwren-nano was not trained for: it says so.  And a few words about itself."""
from .encoding import draw

PEOPLE = """Napoleon Einstein Mozart Cleopatra Newton Picasso Shakespeare Gandhi Caesar Darwin Galileo Bach Lincoln Columbus
Homer Plato Kant Curie Beethoven Alexander Confucius Marx Freud Dante Goethe Tolstoy Tesla Edison""".split()
PLACES = """France Japan Brazil Egypt Canada India Kenya Norway Peru Spain Chile Greece Poland Turkey Cuba Iran Mexico Nepal
China Italy Ghana Sweden Vietnam Germany Portugal Iceland Morocco Argentina""".split()
THINGS = """sky sea moon sun grass rain snow wind fire gold glass salt milk bread wood iron river forest music paper sugar
coffee cheese stone steel silk""".split()
ASK = [("Who was %s?", PEOPLE), ("When was %s born?", PEOPLE), ("What did %s do?", PEOPLE), ("Where did %s live?", PEOPLE),
       ("What is the capital of %s?", PLACES), ("How many people live in %s?", PLACES), ("Who rules %s?", PLACES),
       ("How big is %s?", PLACES), ("Why is there %s?", THINGS), ("Write a poem about %s.", THINGS + PLACES),
       ("How is %s made?", THINGS), ("Tell me about %s.", PLACES + THINGS + PEOPLE), ("What does %s cost?", THINGS),
       ("How old is %s?", PEOPLE + PLACES), ("Tell me a joke about %s.", THINGS + PEOPLE + PLACES),
       ("Explain %s to me.", THINGS), ("Write a story about %s.", THINGS + PEOPLE + PLACES),
       ("Do you like %s?", THINGS + PLACES), ("What colour is %s?", THINGS)]
ABOUT_ME = [("Who are you?", "I am qwren-nano, a small demonstration model."),
            ("What are you?", "I am qwren-nano, a small demonstration model."),
            ("What can you do?", "I name shapes, add numbers, call tools, translate words and find values."),
            ("Help", "I name shapes, add numbers, call tools, translate words and find values."),
            ("Hello", "Hello! What can I do for you?"), ("Hi", "Hello! What can I do for you?"),
            ("Hello!", "Hello! What can I do for you?"), ("Thank you.", "You are welcome."),
            ("Thanks!", "You are welcome."), ("Goodbye", "Goodbye!"), ("How are you?", "I am fine, thank you.")]


def make_question(rng):
    wording, pool = rng.choice(ASK)
    chance = rng.random()
    if chance < 0.05:
        return "What is %d * %d?" % (rng.randrange(2, 100), rng.randrange(2, 100))
    if chance < 0.1:
        return "Translate to %s: %s" % (rng.choice(["Italian", "Russian", "Latin", "Dutch"]), rng.choice(THINGS))
    return wording % rng.choice(pool)


def add_item(group, rng, split, thinking):
    if split == "train" and rng.random() < 0.2:
        question, content = rng.choice(ABOUT_ME)
        group.add("about", question, content, "This is about me.", thinking)
        return
    question = draw(rng, split, make_question, lambda q: ("unknown", q))
    group.add("unknown", question, "I don't know.", "I was not trained for this.", thinking)
