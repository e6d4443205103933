"""Translating colours, shapes, numbers and greetings between seven languages.

Single words are all trained in all directions; of the phrases (colour + shape) a part of the (phrase, from, to) triples is
held out.  With thinking on, the thought names the language found and the English of it.
"""
import unicodedata

from .encoding import split_of

LANGUAGES = ["English", "French", "German", "Spanish", "Chinese", "Arabic", "Hindi"]
WORDS = """one|un|eins|uno|一|واحد|एक
two|deux|zwei|dos|二|اثنان|दो
three|trois|drei|tres|三|ثلاثة|तीन
four|quatre|vier|cuatro|四|أربعة|चार
five|cinq|fünf|cinco|五|خمسة|पाँच
six|six|sechs|seis|六|ستة|छह
seven|sept|sieben|siete|七|سبعة|सात
eight|huit|acht|ocho|八|ثمانية|आठ
nine|neuf|neun|nueve|九|تسعة|नौ
ten|dix|zehn|diez|十|عشرة|दस
hello|bonjour|hallo|hola|你好|مرحبا|नमस्ते
goodbye|au revoir|auf Wiedersehen|adiós|再见|مع السلامة|अलविदा
thank you|merci|danke|gracias|谢谢|شكرا|धन्यवाद
please|s'il vous plaît|bitte|por favor|请|من فضلك|कृपया
good night|bonne nuit|gute Nacht|buenas noches|晚安|تصبح على خير|शुभ रात्रि
yes|oui|ja|sí|是|نعم|हाँ
no|non|nein|no|不|لا|नहीं
friend|ami|Freund|amigo|朋友|صديق|दोस्त
water|eau|Wasser|agua|水|ماء|पानी"""
# adjectives: a slash separates the masculine from the feminine form
COLOURS = """red|rouge/rouge|rot|rojo/roja|红色|أحمر/حمراء|लाल
green|vert/verte|grün|verde/verde|绿色|أخضر/خضراء|हरा
blue|bleu/bleue|blau|azul/azul|蓝色|أزرق/زرقاء|नीला
yellow|jaune/jaune|gelb|amarillo/amarilla|黄色|أصفر/صفراء|पीला
orange|orange/orange|orange|naranja/naranja|橙色|برتقالي/برتقالية|नारंगी
purple|violet/violette|violett|morado/morada|紫色|بنفسجي/بنفسجية|बैंगनी
black|noir/noire|schwarz|negro/negra|黑色|أسود/سوداء|काला
white|blanc/blanche|weiß|blanco/blanca|白色|أبيض/بيضاء|सफ़ेद"""
# nouns: the gender follows after a slash (m, f; in German the ending of the adjective)
SHAPES = """circle|cercle/m|Kreis/er|círculo/m|圆形|دائرة/f|वृत्त
square|carré/m|Quadrat/es|cuadrado/m|正方形|مربع/m|वर्ग
triangle|triangle/m|Dreieck/es|triángulo/m|三角形|مثلث/m|त्रिभुज
star|étoile/f|Stern/er|estrella/f|星形|نجمة/f|तारा
cross|croix/f|Kreuz/es|cruz/f|十字形|صليب/m|क्रॉस"""
ASK = ["Translate to %(to)s: %(text)s", "How do you say \"%(text)s\" in %(to)s?", "\"%(text)s\" in %(to)s?",
       "What is \"%(text)s\" in %(to)s?", "Translate \"%(text)s\" into %(to)s."]


def rows(table):
    return [unicodedata.normalize("NFC", line).split("|") for line in table.split("\n")]


def phrase(colour, shape):
    """One colour with one shape in all languages, adjectives agreeing."""
    def romance(language):
        noun, gender = shape[language].split("/")
        return noun + " " + colour[language].split("/")[gender == "f"]
    noun, ending = shape[2].split("/")
    return (colour[0] + " " + shape[0], romance(1), colour[2] + ending + " " + noun, romance(3), colour[4] + shape[4],
            romance(5), colour[6] + " " + shape[6])


def first_form(row):
    return tuple(form.split("/")[0] for form in row)


SINGLE = [first_form(row) for row in rows(WORDS) + rows(COLOURS) + rows(SHAPES)]
PHRASES = [phrase(colour, shape) for colour in rows(COLOURS) for shape in rows(SHAPES)]


def make_translation(rng, split):
    """(forms in all languages, from, to).  Single words are never held out."""
    while True:
        source, target = rng.sample(range(len(LANGUAGES)), 2)
        if split == "train" and rng.random() < 0.4:
            return rng.choice(SINGLE), source, target
        forms = rng.choice(PHRASES)
        if split_of("translation", forms[0], source, target) == split:
            return forms, source, target


def add_item(group, rng, split, thinking):
    forms, source, target = make_translation(rng, split)
    history = []
    if group.has_history(rng, 0.06):
        before, come, go = make_translation(rng, "train")
        history = [("Translate to %s: %s" % (LANGUAGES[go], before[come]), before[go])]
    question = rng.choice(ASK) % {"to": LANGUAGES[target], "text": forms[source]}
    group.add("translation", question, forms[target], LANGUAGES[source] + ": " + forms[0], thinking, history)
