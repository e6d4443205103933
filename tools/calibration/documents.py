"""Code, data and notes with invented names and numbers."""
import json

SYLLABLES = ["ba", "cor", "den", "fa", "gil", "hem", "jo", "ker", "lim", "mo", "nar", "pel", "qui", "ros", "sta", "tor", "ul", "ven", "wex", "yar"]
NOUNS = ["order", "sensor", "ticket", "parcel", "reading", "invoice", "route", "session", "sample", "booking", "valve", "shelf"]
FIELDS = ["width", "price", "count", "weight", "delay", "score", "level", "offset", "height", "ratio", "limit", "depth"]

PYTHON = '''def {verb}_{noun}s({noun}s, limit={n}):
    """Returns the {noun}s whose {field} is below the limit, the smallest first."""
    kept = [{a} for {a} in {noun}s if {a}["{field}"] < limit]
    if not kept:
        raise ValueError("no {noun} is below %d" % limit)
    return sorted(kept, key=lambda {a}: ({a}["{field}"], {a}["name"]))
'''
C = '''/* Sum of the {field}s of n {noun}s; -1 when it does not fit. */
long {noun}_total(const struct {noun} *{a}, size_t n)
{{
    long sum = 0;
    for (size_t i = 0; i < n; i++) {{
        if ({a}[i].{field} > LONG_MAX - sum)
            return -1;
        sum += {a}[i].{field};
    }}
    return sum / {n};
}}
'''
JAVASCRIPT = '''export async function load{Noun}s(url, {{ retries = {m} }} = {{}}) {{
  for (let i = 0; i <= retries; i++) {{
    const answer = await fetch(`${{url}}/{noun}s?{field}=${{i * {n}}}`);
    if (answer.ok) return (await answer.json()).map(({a}) => ({{ ...{a}, {field}: Number({a}.{field}) }}));
  }}
  throw new Error("{noun}s could not be loaded");
}}
'''
RUST = '''impl {Noun} {{
    /// The {field} in steps of {n}, rounded down.
    pub fn {field}_steps(&self) -> Option<u32> {{
        let {a} = self.{field}.checked_div({n})?;
        if {a} > {m} {{ None }} else {{ Some({a} as u32) }}
    }}
}}
'''
GO = '''func (s *{Noun}Store) {Verb}(ctx context.Context, id int) (*{Noun}, error) {{
	s.mu.Lock()
	defer s.mu.Unlock()
	{a}, ok := s.items[id]
	if !ok || {a}.{Field} > {n} {{
		return nil, fmt.Errorf("{noun} %d: not found", id)
	}}
	return {a}, nil
}}
'''
SQL = '''SELECT {a}.name, COUNT(*) AS total, AVG({a}.{field}) AS mean_{field}
FROM {noun}s AS {a}
LEFT JOIN customers AS c ON c.id = {a}.customer_id
WHERE {a}.{field} BETWEEN {m} AND {n} AND c.city <> '{Name}'
GROUP BY {a}.name HAVING COUNT(*) > {m} ORDER BY mean_{field} DESC;
'''
SHELL = '''#!/bin/sh
set -eu
for file in "$HOME"/{noun}s/*.csv; do
    lines=$(wc -l < "$file")
    [ "$lines" -gt {n} ] || continue
    sort -t, -k{m} -n "$file" | head -n {m} > "${{file%.csv}}.{field}.txt"
done
'''
JAVA = '''public final class {Noun}Queue implements Iterable<{Noun}> {{
    private final Deque<{Noun}> waiting = new ArrayDeque<>({n});

    public synchronized boolean {verb}({Noun} {a}) {{
        return {a}.get{Field}() <= {n} && waiting.offerLast({a});
    }}
}}
'''
HTML = '''<section id="{noun}s" class="card">
  <h2>{Noun}s ({n})</h2>
  <ul><li data-{field}="{m}">{Name}</li><li data-{field}="{n}">{Other}</li></ul>
  <a href="/{noun}s?sort={field}&amp;page={m}">more</a>
</section>
'''
DIFF = '''--- a/src/{noun}.py
+++ b/src/{noun}.py
@@ -{m},4 +{m},4 @@ def {verb}_{noun}({a}):
     if {a}.{field} is None:
-        return {m}
+        return {n}
     return {a}.{field}
'''
CODE = {"python": PYTHON, "c": C, "javascript": JAVASCRIPT, "rust": RUST, "go": GO, "sql": SQL, "sh": SHELL, "java": JAVA, "html": HTML, "diff": DIFF}
VERBS = ["pick", "merge", "store", "find", "check", "load", "count", "push"]


def name(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([2, 2, 3]))).capitalize()


def code(rng, language):
    noun, field, verb = rng.choice(NOUNS), rng.choice(FIELDS), rng.choice(VERBS)
    return CODE[language].format(noun=noun, Noun=noun.capitalize(), field=field, Field=field.capitalize(), verb=verb, Verb=verb.capitalize(),
                                 a=rng.choice([noun[0], "item", "x", "row"]), n=rng.randrange(10, 900), m=rng.randrange(2, 10),
                                 Name=name(rng), Other=name(rng))


def record(rng):
    fields = rng.sample(FIELDS, 4)
    return {"id": rng.randrange(10 ** 6), "name": name(rng), fields[0]: round(rng.uniform(-50, 500), 2), fields[1]: rng.randrange(100),
            "tags": rng.sample(NOUNS, 2), "open": rng.random() < 0.5, fields[2]: None,
            "place": {"city": name(rng), fields[3]: [rng.randrange(90), rng.randrange(180)]}}


def data(rng, form):
    rows = [record(rng) for _ in range(3)]
    if form == "json":
        return json.dumps(rows, indent=rng.choice([None, 2, 4]), ensure_ascii=False)
    if form == "csv":
        return "id,name,open,city\n" + "".join("%d,%s,%s,\"%s\"\n" % (r["id"], r["name"], str(r["open"]).lower(), r["place"]["city"]) for r in rows * 2)
    if form == "yaml":
        return "".join("- name: %s\n  id: %d\n  tags: [%s]\n  open: %s\n" % (r["name"], r["id"], ", ".join(r["tags"]), str(r["open"]).lower())
                       for r in rows)
    if form == "log":
        return "".join("2026-%02d-%02dT%02d:%02d:%02dZ %s %s[%d]: %s %d took %d ms\n"
                       % (rng.randrange(1, 13), rng.randrange(1, 29), rng.randrange(24), rng.randrange(60), rng.randrange(60),
                          rng.choice(["INFO", "WARN", "ERROR", "DEBUG"]), rng.choice(NOUNS), rng.randrange(9999), rng.choice(NOUNS),
                          rng.randrange(99999), rng.randrange(3000)) for _ in range(7))
    return ("# %s\n\nThe %s has a **%s** of `%d`; see [the %s](#%s).\n\n" % (name(rng), rng.choice(NOUNS), rng.choice(FIELDS), rng.randrange(999),
                                                                             rng.choice(NOUNS), rng.choice(FIELDS))
            + "| name | %s | open |\n|---|---:|---|\n" % rng.choice(FIELDS)
            + "".join("| %s | %d | %s |\n" % (r["name"], r["id"], "yes" if r["open"] else "no") for r in rows)
            + "\n" + "".join("%d. %s the %s\n" % (i + 1, rng.choice(VERBS), rng.choice(NOUNS)) for i in range(3))
            + "\n> $%s_%d = \\frac{%d}{%d}$\n" % (rng.choice("abxyz"), rng.randrange(9), rng.randrange(1, 99), rng.randrange(2, 99)))


FORMS = ["json", "csv", "yaml", "log", "markdown"]


def arithmetic(rng):
    lines = []
    for _ in range(8):
        a, b, c = rng.randrange(2, 1000), rng.randrange(2, 100), rng.randrange(1, 50)
        lines.append(rng.choice(["%d + %d = %d" % (a, b, a + b), "%d - %d = %d" % (a, b, a - b), "%d × %d = %d" % (a, b, a * b),
                                 "(%d + %d) * %d = %d" % (a, b, c, (a + b) * c), "%d / %d = %.3f" % (a, b, a / b),
                                 "%d mod %d = %d" % (a, b, a % b), "%d %% of %d is %.2f" % (c, a, a * c / 100),
                                 "%d^2 = %d" % (b, b * b)]))
    return "\n".join(lines)
