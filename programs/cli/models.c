/* Finding the model, and nano's examination (models.h). What is bundled stands beside the folder of a fresh build, in share/qwren beside an installed bin/,
 * or in the folder that the build was configured for. Tested by tests/cli/models.sh. */
#include "models.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/machine.h"
#include "output.h"
#include "progress.h"
#include "table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef QWREN_DATADIR
#  define QWREN_DATADIR "/usr/local/share/qwren"
#endif
#define BUNDLED "qwren-nano"

static const char *program = "";

void cli_program_is(const char *argv0) { program = argv0; }

/* The folder above the one that the program lies in: "" when that is not known. */
static void find_prefix(char prefix[PATH_MAX])
{
    char *slash;
    if (!realpath("/proc/self/exe", prefix) && (!strchr(program, '/') || !realpath(program, prefix)))
        prefix[0] = '\0';
    for (int i = 0; i < 2 && (slash = strrchr(prefix, '/')); i++)
        *slash = '\0';
}

/* A bundled folder: in the source tree it is built/name, installed it is installed/name. NULL when there is none. */
static char *find_folder(const char *built, const char *installed, const char *name)
{
    char prefix[PATH_MAX];
    find_prefix(prefix);
    const char *places[][3] = { { prefix, "/", built }, { prefix, "/share/qwren/", installed }, { QWREN_DATADIR, "/", installed } };
    for (size_t i = *prefix ? 0 : 2; i < sizeof places / sizeof *places; i++) {
        qw_buf b = QW_BUF_INIT;
        char *path = NULL;
        qw_buf_printf(&b, "%s%s%s%s", places[i][0], places[i][1], places[i][2], name);
        if (qw_buf_take(&b, &path, NULL, NULL) == QWREN_OK && qw_dir_exists(path))
            return path;
        qw_free(path);
    }
    return NULL;
}

static char *find_bundled(const char *name) { return find_folder("models/", "models/", name); }

qwren_status cli_exam_path(char **path, qwren_error *err)
{
    *path = find_folder("tests/", "", "heldout");
    if (*path)
        return QWREN_OK;
    return qw_fail(
        err, QWREN_E_IO,
        "the bundled examination is not beside the program or in %s/heldout; name a folder that holds requests.jsonl and expected.jsonl",
        QWREN_DATADIR);
}

/* A name without a slash that is neither folder nor file here may be a bundled model's. */
static char *resolve(const char *given)
{
    bool is_name = *given && !strchr(given, '/') && !qw_dir_exists(given) && !qw_file_exists(given);
    char *bundled = is_name ? find_bundled(given) : NULL;
    return bundled ? bundled : qw_strdup(given);
}

/* -m, for inspect, doctor and bench also their word, then the environment; NULL: nothing was said. */
static const char *named(const cli_args *a)
{
    const char *environment = getenv("QWREN_MODEL");
    const bool by_word = a->verb == &cli_verbs[VERB_INSPECT] || a->verb == &cli_verbs[VERB_DOCTOR] || a->verb == &cli_verbs[VERB_BENCH];
    if (by_word && a->n_words)
        return a->words[0];
    return cli_text(a, OPT_MODEL, environment && *environment ? environment : NULL);
}

qwren_status cli_model_path(const cli_args *a, char **path, qwren_error *err)
{
    const char *given = named(a);
    *path = given ? resolve(given) : find_bundled(BUNDLED);
    if (*path)
        return QWREN_OK;
    if (given)
        return qw_fail_memory(err, strlen(given), "the model's path");
    return qw_fail(err, QWREN_E_IO,
                   "no model: the bundled %s is not beside the program or in %s/models; name one with -m PATH or $QWREN_MODEL", BUNDLED,
                   QWREN_DATADIR);
}

char *cli_model_resolve(const char *word) { return resolve(word); }

qwren_arithmetic cli_arithmetic(const cli_args *a)
{
    return cli_has(a, OPT_EXACT)           ? QWREN_ARITHMETIC_EXACT
           : cli_has(a, OPT_DETERMINISTIC) ? QWREN_ARITHMETIC_DETERMINISTIC
                                           : QWREN_ARITHMETIC_DEFAULT;
}

static qwren_status open_path(const cli_args *a, const char *path, cli_model_use use, qwren_arithmetic arithmetic, qwren_model **out,
                              qwren_error *err)
{
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = (int)cli_number(a, OPT_THREADS, 0);
    opt.config_only = use == MODEL_HEADERS || use == MODEL_PICTURES;
    opt.no_tokenizer = use == MODEL_NUMBERS || use == MODEL_PICTURES;
    opt.mmproj = cli_text(a, OPT_MMPROJ, NULL);
    opt.lock_memory = cli_has(a, OPT_MLOCK);
    opt.arithmetic = arithmetic;
    opt.yarn_factor = cli_number(a, OPT_YARN, 0);
    opt.progress = cli_progress;
    if (use == MODEL_NUMBERS || a->verb == &cli_verbs[VERB_BENCH])
        opt.cache_bytes = 1; /* who brings ids computes all of them, and so does who measures */
    if (cli_has(a, OPT_CACHE_MEM))
        opt.cache_bytes = (size_t)cli_number(a, OPT_CACHE_MEM, 0) * 1000000 + 1; /* 1 is nothing */
    opt.cache_dir = use == MODEL_DRAFT ? NULL : cli_text(a, OPT_CACHE_DIR, NULL);
    opt.cache_dir_bytes = (uint64_t)cli_number(a, OPT_CACHE_DIR_MEM, 0) * 1000000;
    return qwren_model_open(out, path, &opt, err);
}

qwren_status cli_model_open(const cli_args *a, cli_model_use use, qwren_model **out, qwren_error *err)
{
    char *path;
    *out = NULL;
    QW_TRY(cli_model_path(a, &path, err));
    qwren_status st = open_path(a, path, use, cli_arithmetic(a), out, err);
    qw_free(path);
    return st;
}

static qwren_status open_word(const cli_args *a, const char *word, cli_model_use use, qwren_arithmetic arithmetic, qwren_model **out,
                              qwren_error *err)
{
    char *path = resolve(word);
    *out = NULL;
    if (!path)
        return qw_fail_memory(err, strlen(word), "the model's path");
    qwren_status st = open_path(a, path, use, arithmetic, out, err);
    qw_free(path);
    return st;
}

qwren_status cli_model_open_word(const cli_args *a, const char *word, cli_model_use use, qwren_model **out, qwren_error *err)
{
    return open_word(a, word, use, cli_arithmetic(a), out, err);
}

qwren_status cli_model_open_exact(const cli_args *a, const char *word, cli_model_use use, qwren_model **out, qwren_error *err)
{
    return open_word(a, word, use, QWREN_ARITHMETIC_EXACT, out, err);
}

qwren_kv_type cli_kv_type(const cli_args *a)
{
    const char *type = cli_text(a, OPT_KV_TYPE, qwren_kv_type_name(QWREN_KV_DEFAULT)), *name;
    for (int i = QWREN_KV_DEFAULT; (name = qwren_kv_type_name((qwren_kv_type)i)) != NULL; i++)
        if (strcmp(type, name) == 0)
            return (qwren_kv_type)i;
    return QWREN_KV_DEFAULT;
}

qwren_session_options cli_session_options(const cli_args *a)
{
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = (size_t)cli_number(a, OPT_CTX, 0);
    opt.kv_type = cli_kv_type(a);
    opt.allow_overcommit = cli_has(a, OPT_OVERCOMMIT);
    return opt;
}

/* What a context that was asked for takes. */
static void tell_memory(const qwren_model *m, const qwren_session_options *opt)
{
    char kv[CLI_SHORT_BYTES], rest[CLI_SHORT_BYTES], weights[CLI_SHORT_BYTES], available[CLI_SHORT_BYTES];
    const uint64_t there = qw_machine_get_memory().available;
    qwren_memory_info need;
    if (qwren_model_get_memory(m, opt->n_ctx, opt->kv_type, &need, NULL) != QWREN_OK)
        return;
    const bool ahead = opt->spec != QWREN_SPEC_DEFAULT && opt->spec != QWREN_SPEC_OFF;
    const uint64_t beside = need.total_bytes - need.kv_bytes + (ahead ? need.spec_bytes : 0);
    cli_notice("a context of %zu tokens: %s for keys and values, taken as it fills, %s beside them, the weights' %s, and what --cache-mem "
               "allows%s; %s are available",
               opt->n_ctx, cli_short(kv, (double)need.kv_bytes, "B"), cli_short(rest, (double)beside, "B"),
               cli_short(weights, (double)qwren_model_get_info(m)->n_bytes_text, "B"),
               opt->draft_model ? ", and what the draft model takes" : "",
               there == QW_NOT_KNOWN ? "it is not known how many" : cli_short(available, (double)there, "B"));
}

qwren_status cli_session_create(const cli_args *a, const qwren_model *m, const qwren_session_options *opt, qwren_session **out,
                                qwren_error *err)
{
    QW_TRY(qwren_session_create(out, m, opt, err));
    if (cli_has(a, OPT_CTX))
        tell_memory(m, opt);
    return QWREN_OK;
}

qwren_status cli_tokenizer_open(const cli_args *a, qwren_tokenizer **out, qwren_error *err)
{
    char *path;
    *out = NULL;
    QW_TRY(cli_model_path(a, &path, err));
    qwren_status st = qwren_tokenizer_open(out, path, err);
    qw_free(path);
    return st;
}
