/* The command line -> what was given (args.h): joined letters, joined values, "=", "--", and complaints that say what would be right.
 * Tested by tests/cli/usage.sh. */
#include "args.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "output.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values */

static bool made_of(const char *s, const char *letters) { return *s && s[strspn(s, letters)] == '\0'; }

static bool read_whole(const char *s, double min, double max, double *out)
{
    if (!made_of(s[0] == '-' ? s + 1 : s, "0123456789"))
        return false;
    errno = 0;
    long long x = strtoll(s, NULL, 10);
    *out = (double)x;
    return errno == 0 && (double)x >= min && (double)x <= max;
}

/* Numbers with commas between; how many, or 0 when it is not that. */
static size_t read_wholes(const char *s, double min, double max, size_t out[CLI_MOST_WHOLES])
{
    size_t n = 0;
    for (const char *at = s; n < CLI_MOST_WHOLES; at += strcspn(at, ",") + 1) {
        char one[24];
        double number;
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, ","), at);
        if (!read_whole(one, min, max, &number))
            return 0;
        out[n++] = (size_t)number;
        if (at[strcspn(at, ",")] == '\0')
            return n;
    }
    return 0;
}

static bool read_real(const char *s, double min, double max, double *out)
{
    char *end = NULL;
    if (!made_of(s, "0123456789+-.eE"))
        return false;
    *out = strtod(s, &end);
    return *end == '\0' && isfinite(*out) && *out >= min && *out <= max;
}

static bool read_bias(const char *s, double *out)
{
    char id[12];
    double number;
    size_t n = strcspn(s, ":");
    if (s[n] != ':' || n >= sizeof id)
        return false;
    memcpy(id, s, n);
    id[n] = '\0';
    return read_whole(id, 0, INT32_MAX, &number) && read_real(s + n + 1, -1000, 1000, out);
}

static bool is_choice(const char *choices, const char *s)
{
    size_t n = strlen(s);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strcspn(c, "|") == n && strncmp(c, s, n) == 0)
            return true;
    return false;
}

static int read_value(const cli_verb *verb, cli_given *g)
{
    const cli_option *o = g->option;
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_TEXT: return 0;
    case CLI_LITERAL:
        if (*g->text && qw_utf8_is_valid(g->text, strlen(g->text)))
            return 0;
        return cli_usage(verb, "--%s: the text is empty or not valid UTF-8", o->name);
    case CLI_WHOLE:
        if (read_whole(g->text, o->min, o->max, &g->number))
            return 0;
        return cli_usage(verb, "--%s: '%s' is not a whole number from %.0f to %.0f", o->name, g->text, o->min, o->max);
    case CLI_WHOLES: {
        size_t numbers[CLI_MOST_WHOLES];
        if (read_wholes(g->text, o->min, o->max, numbers))
            return 0;
        return cli_usage(verb, "--%s: '%s' is no list of up to %d whole numbers from %.0f to %.0f with commas between", o->name, g->text,
                         CLI_MOST_WHOLES, o->min, o->max);
    }
    case CLI_REAL:
        if (read_real(g->text, o->min, o->max, &g->number))
            return 0;
        return cli_usage(verb, "--%s: '%s' is not a number from %g to %g", o->name, g->text, o->min, o->max);
    case CLI_CHOICE:
        if (is_choice(o->argument, g->text))
            return 0;
        return cli_usage(verb, "--%s: '%s' is not %s", o->name, g->text, o->argument);
    case CLI_BIAS:
        if (read_bias(g->text, &g->number))
            return 0;
        return cli_usage(verb, "--%s: '%s' is not ID:X, a token id and a number from -1000 to 1000", o->name, g->text);
    }
    return 0;
}

/* ---- words that were nearly right */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Letters to add, drop or change between two words (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1], n = strlen(b);
    if (strlen(a) > LONGEST || n > LONGEST)
        return SIZE_MAX;
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            size_t changed = corner + (a[i] != b[k]);
            corner = row[k + 1];
            row[k + 1] = min3(row[k + 1] + 1, row[k] + 1, changed);
        }
    }
    return row[n];
}

/* Whether `candidate` is nearer to `word` than the best so far, and near enough to be meant. */
static bool is_nearer(const char *word, const char *candidate, size_t *best)
{
    size_t d = distance(word, candidate);
    if (d > strlen(candidate) / 3 || d >= *best)
        return false;
    *best = d;
    return true;
}

const cli_verb *cli_verb_find(const char *name)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(cli_verbs[i].name, name) == 0)
            return &cli_verbs[i];
        if (is_nearer(name, cli_verbs[i].name, &best))
            near = cli_verbs[i].name;
    }
    cli_usage(NULL, near ? "there is no verb '%s', perhaps '%s'" : "there is no verb '%s'", name, near);
    return NULL;
}

static bool has_verb(const cli_option *o, const cli_verb *verb) { return o->verbs >> (verb - cli_verbs) & 1; }

/* The option of the verb with the name [n], or NULL after a complaint. */
static const cli_option *find_long(const cli_verb *verb, const char *name, size_t n)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), name);
    for (size_t i = 0; i < cli_n_options; i++) {
        const cli_option *o = &cli_options[i];
        if (!has_verb(o, verb))
            continue;
        if (strlen(o->name) == n && strcmp(o->name, word) == 0)
            return o;
        if (is_nearer(word, o->name, &best))
            near = o->name;
    }
    cli_usage(verb, near ? "there is no option --%s, perhaps --%s" : "there is no option --%s", word, near);
    return NULL;
}

static const cli_option *find_letter(const cli_verb *verb, const char *letter)
{
    for (size_t i = 0; i < cli_n_options; i++)
        if (has_verb(&cli_options[i], verb) && cli_options[i].letter == *letter)
            return &cli_options[i];
    uint32_t cp;
    size_t n = qw_utf8_decode(letter, strlen(letter), &cp, NULL);
    cli_usage(verb, "there is no option -%.*s (put -- before a text that begins with '-')", (int)n, letter);
    return NULL;
}

/* ---- the words, one by one */

typedef struct reader {
    cli_args *a;
    char **argv;
    int argc, at;
} reader;

static int out_of_memory(void)
{
    qwren_error err;
    qw_fail_memory(&err, 0, "the command line");
    return cli_fail(&err);
}

static int add_given(cli_args *a, cli_given g)
{
    int status = read_value(a->verb, &g);
    if (status)
        return status;
    cli_given *more = qw_realloc_array(a->given, a->n_given + 1, sizeof *more);
    if (!more)
        return out_of_memory();
    a->given = more;
    a->given[a->n_given++] = g;
    return 0;
}

static int add_word(cli_args *a, const char *word)
{
    if (a->n_words == a->verb->max_words) {
        const char *why = a->verb->max_words ? " (a text of several words needs quotes)" : ", there should be none";
        return cli_usage(a->verb, "'%s' is one word too many%s", word, why);
    }
    const char **more = qw_realloc_array(a->words, a->n_words + 1, sizeof *more);
    if (!more)
        return out_of_memory();
    a->words = more;
    a->words[a->n_words++] = word;
    return 0;
}

/* An option whose argument is joined (`value`) or the next word. */
static int add_option(reader *r, const cli_option *o, const char *value)
{
    if (!o->argument && value)
        return cli_usage(r->a->verb, "--%s takes no argument", o->name);
    if (o->argument && !value) {
        if (r->at >= r->argc)
            return cli_usage(r->a->verb, "--%s needs an argument: %s", o->name, o->argument);
        value = r->argv[r->at++];
    }
    r->a->help = r->a->help || o->id == OPT_HELP;
    return add_given(r->a, (cli_given){ o, value, 0 });
}

static int read_long(reader *r, const char *name)
{
    size_t n = strcspn(name, "=");
    const cli_option *o = find_long(r->a->verb, name, n);
    return o ? add_option(r, o, name[n] ? name + n + 1 : NULL) : 2;
}

static int read_letters(reader *r, const char *letters)
{
    for (int status; *letters && !r->a->help;) {
        const cli_option *o = find_letter(r->a->verb, letters++);
        if (!o)
            return 2;
        bool takes_rest = o->argument && *letters;
        if ((status = add_option(r, o, takes_rest ? letters : NULL)) || takes_rest)
            return status;
    }
    return 0;
}

int cli_args_parse(cli_args *a, const cli_verb *verb, int argc, char **argv)
{
    *a = (cli_args){ .verb = verb };
    reader r = { a, argv, argc, 0 };
    bool only_words = false;
    int status = 0;
    while (!status && r.at < argc && !a->help) {
        const char *word = argv[r.at++];
        if (only_words || word[0] != '-' || word[1] == '\0')
            status = add_word(a, word);
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else
            status = word[1] == '-' ? read_long(&r, word + 2) : read_letters(&r, word + 1);
    }
    return status;
}

void cli_args_deinit(cli_args *a)
{
    qw_free(a->given);
    qw_free(a->words);
    *a = (cli_args){ 0 };
}

/* ---- questions */

static const cli_given *last_of(const cli_args *a, cli_id id)
{
    for (size_t i = a->n_given; i-- > 0;)
        if (a->given[i].option->id == id)
            return &a->given[i];
    return NULL;
}

bool cli_has(const cli_args *a, cli_id id) { return last_of(a, id) != NULL; }

const char *cli_text(const cli_args *a, cli_id id, const char *fallback)
{
    const cli_given *g = last_of(a, id);
    return g ? g->text : fallback;
}

double cli_number(const cli_args *a, cli_id id, double fallback)
{
    const cli_given *g = last_of(a, id);
    return g ? g->number : fallback;
}

size_t cli_wholes(const cli_args *a, cli_id id, const char *fallback, size_t out[CLI_MOST_WHOLES])
{
    return read_wholes(cli_text(a, id, fallback), 0, INT32_MAX, out);
}

const cli_given *cli_last(const cli_args *a, const cli_option *option)
{
    for (size_t i = a->n_given; i-- > 0;)
        if (a->given[i].option == option)
            return &a->given[i];
    return NULL;
}

size_t cli_count(const cli_args *a, cli_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_given; i++)
        n += a->given[i].option->id == id;
    return n;
}

const char *cli_nth(const cli_args *a, cli_id id, size_t i)
{
    for (size_t k = 0; k < a->n_given; k++)
        if (a->given[k].option->id == id && i-- == 0)
            return a->given[k].text;
    return NULL;
}

int cli_thinking(const cli_args *a)
{
    const cli_given *on = last_of(a, OPT_THINK), *off = last_of(a, OPT_NO_THINK);
    if (on && off)
        return on > off;
    return on ? 1 : off ? 0 : -1;
}

const char *cli_file_word(const cli_args *a) { return a->n_words ? a->words[0] : "-"; }
