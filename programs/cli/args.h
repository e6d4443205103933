/* The command line. One table of verbs (main.c) and one of options (options.c) make the parser, --help and the man pages. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "base/status.h"

typedef struct cli_args cli_args;

typedef enum cli_verb_id {
    VERB_RUN,
    VERB_CHAT,
    VERB_SESSION,
    VERB_INSPECT,
    VERB_DOCTOR,
    VERB_QUANTIZE,
    VERB_TOKENIZE,
    VERB_DETOKENIZE,
    VERB_TEMPLATE,
    VERB_PARSE,
    VERB_LOGITS,
    VERB_PREPROCESS,
    VERB_EVAL,
    VERB_BENCH,
    VERB_HELP,
    VERB_COUNT
} cli_verb_id;

typedef struct cli_verb {
    const char *name, *summary;
    const char *synopsis[5];       /* what stands behind the name, one per way of use; NULL-terminated */
    const char *description;       /* lines that begin with a blank are kept as they are, the others are filled */
    const char *exit_status;       /* behind "Exit status: " */
    size_t max_words;              /* arguments that are no options */
    int (*run)(const cli_args *a); /* the exit status */
} cli_verb;
extern const cli_verb cli_verbs[VERB_COUNT];

typedef enum cli_id {
    OPT_MODEL,
    OPT_MMPROJ,
    OPT_MLOCK,
    OPT_IMAGE,
    OPT_SYSTEM,
    OPT_REQUEST,
    OPT_JSONL,
    OPT_TOOLS,
    OPT_TOOL_CHOICE,
    OPT_THINK,
    OPT_NO_THINK,
    OPT_MAX_TOKENS,
    OPT_GREEDY,
    OPT_SAMPLING, /* temperature and its like: known by their key alone */
    OPT_STOP,
    OPT_LOGIT_BIAS,
    OPT_OVERFLOW,
    OPT_NO_LOOP_GUARD,
    OPT_JSON,
    OPT_THOUGHTS,
    OPT_COLOR,
    OPT_STATS,
    OPT_CSV,
    OPT_TENSORS,
    OPT_CPU,
    OPT_ESTIMATE_ONLY,
    OPT_RECIPE,
    OPT_BITS,
    OPT_GROUP,
    OPT_BPW,
    OPT_CALIBRATE,
    OPT_CALIBRATE_TOKENS,
    OPT_VISION_BITS,
    OPT_MTP_BITS,
    OPT_FORCE,
    OPT_NO_RESUME,
    OPT_DRY_RUN,
    OPT_LIST_RECIPES,
    OPT_NO_SPECIAL,
    OPT_NO_ADDED,
    OPT_SKIP_SPECIAL,
    OPT_STRICT,
    OPT_FINISH,
    OPT_IDS,
    OPT_OUTPUT,
    OPT_TEXT,
    OPT_REQUESTS,
    OPT_ANSWERS,
    OPT_STRIDE,
    OPT_LIMIT,
    OPT_WRONG,
    OPT_MAN,
    OPT_RANDOM,
    OPT_PROMPTS,
    OPT_DECODE,
    OPT_DEPTHS,
    OPT_BATCHES,
    OPT_IMAGE_SIZES,
    OPT_REPEAT,
    OPT_PROFILE,
    OPT_CTX,
    OPT_YARN,
    OPT_CACHE_MEM,
    OPT_CACHE_DIR,
    OPT_CACHE_DIR_MEM,
    OPT_SESSION,
    OPT_TOKENS,
    OPT_OVERCOMMIT,
    OPT_DETERMINISTIC,
    OPT_EXACT,
    OPT_BASE_EXACT,
    OPT_KV_TYPE,
    OPT_SPEC,
    OPT_DRAFT,
    OPT_DRAFT_MODEL,
    OPT_THREADS,
    OPT_QUIET,
    OPT_HELP
} cli_id;

typedef enum cli_kind {
    CLI_FLAG,
    CLI_TEXT,
    CLI_LITERAL, /* text that is not empty and valid UTF-8 */
    CLI_WHOLE,   /* a whole number from min to max */
    CLI_WHOLES,  /* several of them, with commas between */
    CLI_REAL,
    CLI_CHOICE, /* `argument` lists the words, with | between them */
    CLI_BIAS    /* ID:X */
} cli_kind;

typedef struct cli_option {
    cli_id id;
    unsigned verbs; /* bit 1 << cli_verb_id */
    char letter;    /* 0: none */
    const char *name, *argument;
    cli_kind kind;
    double min, max;
    const char *key;  /* the field of a chat request that it fills; NULL: none */
    const char *help; /* NULL: another name of the option before, which is not told of */
} cli_option;
extern const cli_option cli_options[];
extern const size_t cli_n_options;

/* An option as it was given. */
typedef struct cli_given {
    const cli_option *option;
    const char *text; /* its argument; NULL for flags */
    double number;    /* CLI_WHOLE, CLI_REAL, and the X of CLI_BIAS */
} cli_given;

struct cli_args {
    const cli_verb *verb;
    cli_given *given; /* in order; owned */
    size_t n_given;
    const char **words; /* owned array of borrowed words */
    size_t n_words;
    bool help; /* -h was met; nothing behind it is read */
};

/* Reads what stands behind the verb. 0, or the exit status after a complaint. cli_args_deinit() may be called either way. */
int cli_args_parse(cli_args *a, const cli_verb *verb, int argc, char **argv);
void cli_args_deinit(cli_args *a);

/* Questions; of an option given several times the last counts. */
bool cli_has(const cli_args *a, cli_id id);
const char *cli_text(const cli_args *a, cli_id id, const char *fallback);
double cli_number(const cli_args *a, cli_id id, double fallback);
const cli_given *cli_last(const cli_args *a, const cli_option *option); /* NULL when absent */
/* The numbers of a CLI_WHOLES option into out [CLI_MOST_WHOLES]; returns how many. `fallback` is such a text, or "". */
#define CLI_MOST_WHOLES 16
size_t cli_wholes(const cli_args *a, cli_id id, const char *fallback, size_t out[CLI_MOST_WHOLES]);
size_t cli_count(const cli_args *a, cli_id id);
const char *cli_nth(const cli_args *a, cli_id id, size_t i); /* the i-th of OPT_IMAGE, OPT_STOP, ... */
int cli_thinking(const cli_args *a);                         /* 1, 0; -1: not said */
/* The first word; "-" (standard input) when there is none. */
const char *cli_file_word(const cli_args *a);

/* Finds a verb; on a miss complains and returns NULL. */
const cli_verb *cli_verb_find(const char *name);

#endif
