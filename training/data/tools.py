"""Tool calls: the right tool with the right arguments, a refusal to call when no listed tool fits, and the plain answer from a
tool's response.  Names, places and texts are partly invented, so that arguments must be copied and not remembered."""
import json

from .chat import Group, maybe_system
from .encoding import draw
from .lookup import invented_word


def declare(name, description, parameters):
    properties = {key: {"type": kind} for key, kind in parameters}
    schema = {"type": "object", "properties": properties, "required": [key for key, _ in parameters]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = {tool["function"]["name"]: tool for tool in [
    declare("get_weather", "Weather in a city", [("city", "string")]),
    declare("get_time", "Local time in a city", [("city", "string")]),
    declare("add_reminder", "Add a reminder", [("text", "string"), ("hour", "integer")]),
    declare("set_timer", "Start a timer", [("minutes", "integer")]),
    declare("send_message", "Send a message", [("to", "string"), ("text", "string")]),
    declare("play_music", "Play music", [("title", "string")]),
    declare("book_table", "Book a table", [("place", "string"), ("people", "integer"), ("hour", "integer")]),
    declare("find_train", "Find a train", [("start", "string"), ("goal", "string")]),
]}
CITIES = """Paris London Berlin Madrid Rome Oslo Vienna Tokyo Delhi Cairo Lima Quito Seoul Dubai Accra Athens Prague Lisbon Dublin
Moscow Boston Chicago Toronto Sydney Nairobi Havana Warsaw Geneva Milan Lagos Mumbai Beijing Kyoto Hanoi Manila Tunis Riga Bern
Porto Lyon Turin Bonn Kiel Graz Basel Ghent Bruges Split Perth Miami Hamburg Munich Leeds Cork Nice Lille Bergen Turku Zagreb
Sofia Malmo Bilbao Genoa Naples Ankara Izmir Amman Doha Kabul Dhaka Colombo Jakarta Osaka Nagoya Busan Denver Dallas""".split()
PEOPLE = """Anna Tom Maria Ali Lena Paul Nina Omar Sara Ivan Lucy Hans Mia Noah Eva Leo Rosa Karl Ines Hugo Ben Clara Emma Felix
Ida Jan Kim Lara Max Nora Otto Petra Rita Sam Tina Vera Yusuf Zoe""".split()
VERBS = "call feed clean visit wash fix buy sell read pay meet walk check open close charge bring paint move find".split()
OBJECTS = """mum the_cat the_car the_door the_rent the_dog the_oven the_report the_letter the_phone bread milk flowers the_plants the_house
the_window a_table a_book the_bike the_lamp the_boat the_keys the_garden the_bill""".replace("_", " ").split("\n")
OBJECTS = [word for line in OBJECTS for word in line.replace("the ", "the_").replace("a ", "a_").split()]
OBJECTS = [word.replace("_", " ") for word in OBJECTS]
SUBJECTS = "I you we they dinner lunch work school it the_train the_bus the_game the_film the_shop Anna Tom".split()
STATES = """am_late is_ready is_full is_over starts_at_noon starts_soon is_closed is_open was_good is_late won_today
comes_home needs_help is_here is_fine""".split()
TITLE_WORDS = """Blue Moon River Night Day Love Song Rain Summer Winter Autumn Star Light Dance Road Home Heart Fire Wind Sea Sky
Dream Morning Train City Girl Boy Time World Rose Gold Snow""".split()
PLACES = """Roma Luna Plaza Bistro Garden Harbour Lotus Olive Dragon Corner Mill Palace""".split()


def name_of(rng, pool, invented=0.3):
    return invented_word(rng).capitalize() if rng.random() < invented else rng.choice(pool)


def title(rng):
    return " ".join(rng.sample(TITLE_WORDS, rng.choice([1, 2, 2, 3])))


def message(rng):
    return (rng.choice(SUBJECTS) + " " + rng.choice(STATES)).replace("_", " ")


def task(rng):
    return rng.choice(VERBS) + " " + rng.choice([rng.choice(OBJECTS), rng.choice(OBJECTS), name_of(rng, PEOPLE)])


# ---- one function per tool: (question, arguments)

def ask_weather(rng):
    city = name_of(rng, CITIES)
    wording = ["What is the weather in %s?", "How is the weather in %s?", "Will it rain in %s?", "Weather in %s?", "Is it warm in %s?"]
    return rng.choice(wording) % city, {"city": city}


def ask_time(rng):
    city = name_of(rng, CITIES)
    wording = ["What time is it in %s?", "Tell me the time in %s.", "How late is it in %s?", "Time in %s?"]
    return rng.choice(wording) % city, {"city": city}


def ask_reminder(rng):
    text, hour = task(rng), rng.randrange(1, 24)
    wording = ["Remind me to %s at %d.", "Add a reminder to %s at %d.", "Please remind me to %s at %d."]
    return rng.choice(wording) % (text, hour), {"text": text, "hour": hour}


def ask_timer(rng):
    minutes = rng.randrange(1, 200)
    wording = ["Set a timer for %d minutes.", "Start a timer of %d minutes.", "Timer: %d minutes.", "Wake me in %d minutes."]
    return rng.choice(wording) % minutes, {"minutes": minutes}


def ask_message(rng):
    to, text = name_of(rng, PEOPLE), message(rng)
    wording = ["Tell %s: %s", "Send %s the message: %s", "Write to %s: %s", "Message to %s: %s"]
    return rng.choice(wording) % (to, text), {"to": to, "text": text}


def ask_music(rng):
    song = title(rng)
    return rng.choice(["Play %s.", "I want to hear %s.", "Put on %s.", "Play the song %s."]) % song, {"title": song}


def ask_table(rng):
    place, people, hour = name_of(rng, PLACES), rng.randrange(2, 13), rng.randrange(11, 24)
    if rng.random() < 0.5:
        question = rng.choice(["Book a table for %d at %s at %d.", "I need a table for %d in %s at %d."]) % (people, place, hour)
    else:
        question = rng.choice(["Book a table in %s for %d at %d.", "A table at %s for %d people at %d."]) % (place, people, hour)
    return question, {"place": place, "people": people, "hour": hour}


def ask_train(rng):
    start, goal = name_of(rng, CITIES), name_of(rng, CITIES)
    if rng.random() < 0.7:
        wording = ["Find a train from %s to %s.", "How do I get from %s to %s?", "I want to go from %s to %s."]
        return rng.choice(wording) % (start, goal), {"start": start, "goal": goal}
    return rng.choice(["Find a train to %s from %s.", "I go to %s from %s."]) % (goal, start), {"start": start, "goal": goal}


ASK = {"get_weather": ask_weather, "get_time": ask_time, "add_reminder": ask_reminder, "set_timer": ask_timer,
       "send_message": ask_message, "play_music": ask_music, "book_table": ask_table, "find_train": ask_train}
NO_TOOL = "I have no tool for that."


def respond(rng, name, arguments):
    """(the tool's response, the plain answer from it)"""
    clock = "%02d:%02d" % (rng.randrange(24), rng.randrange(60))
    if name == "get_weather":
        degrees, sky = rng.randrange(-9, 40), rng.choice(["sun", "rain", "snow", "fog", "clouds", "wind"])
        return {"temp": degrees, "sky": sky}, "It is %d degrees in %s, with %s." % (degrees, arguments["city"], sky)
    if name == "get_time":
        return {"time": clock}, "It is %s in %s." % (clock, arguments["city"])
    if name == "find_train":
        return {"leaves": clock}, "A train to %s leaves at %s." % (arguments["goal"], clock)
    if rng.random() < 0.2:
        return {"ok": False}, "Sorry, that did not work."
    done = {"add_reminder": "I will remind you to %(text)s at %(hour)d.", "set_timer": "The timer runs for %(minutes)d minutes.",
            "send_message": "I told %(to)s: %(text)s", "play_music": "Now playing %(title)s.",
            "book_table": "Your table at %(place)s is booked for %(hour)d."}
    return {"ok": True}, done[name] % arguments


def draw_question(rng, split, name):
    return draw(rng, split, ASK[name], lambda asked: ("tool", name, asked[0]))


def list_of_tools(rng):
    names = rng.sample(list(TOOLS), rng.choice([1, 2, 2, 3, 3, 4]))
    return names, [name for name in TOOLS if name not in names]


def make_call_group(rng, split, questions, thinking=None, no_tool_share=0.33):
    listed, missing = list_of_tools(rng)
    group = Group(tools=[TOOLS[name] for name in listed], system=maybe_system(rng))
    for _ in range(questions):
        think = rng.random() < 0.5 if thinking is None else thinking
        if rng.random() < no_tool_share:
            question, _ = draw_question(rng, split, rng.choice(missing))
            group.add("no_tool", question, NO_TOOL, "No tool fits.", think, sources=[(0, 1, 0)])
        else:
            name = rng.choice(listed)
            question, arguments = draw_question(rng, split, name)
            declared = group.prefix.index('"name": "%s"' % name) + len('"name": "')
            before = len("I use ") if think else len("<tool_call>\n<function=")
            group.add("call", question, thought="I use %s." % name, thinking=think, call=(name, arguments),
                      sources=[(0, 1, declared), (before, len(name), declared)])
    return group


def make_reply_group(rng, split, questions, thinking=None):
    listed, _ = list_of_tools(rng)
    group = Group(tools=[TOOLS[name] for name in listed], system=maybe_system(rng))
    for _ in range(questions):
        think = rng.random() < 0.5 if thinking is None else thinking
        name = rng.choice(listed)
        question, arguments = draw_question(rng, split, name)
        response, content = respond(rng, name, arguments)
        thought = "I use %s." % name if think else ""
        group.add("reply", question, content, "I read the result.", think,
                  round_trip=(name, arguments, thought, json.dumps(response)))
    return group
