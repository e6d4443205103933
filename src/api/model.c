/* qwren_model: opens a checkpoint with its tokenizer. The first call of every program; describe.c tells what is in it. Tested by
 * tests/unit/test_api_model.c. */
#include "api/model.h"

#include "api/ahead.h"
#include "api/options.h"
#include "api/replay.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "runtime/session.h"

#include <stdio.h>
#include <string.h>

#define MOST_YARN 4 /* what the model card has tried: 1,010,000 tokens */

qwren_model_options qwren_model_options_default(void) { return (qwren_model_options){ .struct_size = sizeof(qwren_model_options) }; }

/* ---- tokens that mean something to the engine */

static void add_eos(qwren_model *m, int32_t id)
{
    if (id >= 0 && !qw_model_is_eos(m, id))
        m->eos[m->n_eos++] = id;
}

static void find_tokens(qwren_model *m)
{
    for (int i = 0; i < m->core.config.n_eos; i++)
        add_eos(m, m->core.config.eos[i]);
    add_eos(m, qwren_token_id(m->tokenizer, "<|im_end|>"));
    add_eos(m, qwren_token_id(m->tokenizer, "<|endoftext|>"));
    for (int tag = 0; tag < QW_TAG_COUNT; tag++)
        m->tags[tag] = qwren_token_id(m->tokenizer, qw_tag_text((qw_tag)tag));
}

bool qw_model_is_eos(const qwren_model *m, int32_t id)
{
    for (int i = 0; i < m->n_eos; i++)
        if (m->eos[i] == id)
            return true;
    return false;
}

int qw_model_tag_of(const qwren_model *m, int32_t id)
{
    for (int tag = 0; tag < QW_TAG_COUNT; tag++)
        if (m->tags[tag] == id)
            return tag;
    return -1;
}

/* ---- opening */

/* What the parts that a message may be about are called in the model's files. */
typedef struct part_names {
    const char *tokens, *rows, *image_token;
} part_names;

static const part_names *names_of(const qwren_model *m)
{
    static const part_names of_folder = { "tokenizer.json", "config.json's vocab_size", "image_token_id in config.json" },
                            of_gguf = { "tokenizer.ggml.tokens", "the number of rows of token_embd.weight", "the image tower's" };
    return qw_weights_gguf(m->core.weights) ? &of_gguf : &of_folder;
}

/* What tokenizer and config must agree about, and what a conversation cannot be without. */
static qwren_status check_tokenizer(const qwren_model *m, qwren_error *err)
{
    static const char *const needed[] = { "<|im_start|>", "<|im_end|>" };
    int32_t n = qwren_token_count(m->tokenizer), pad = qwren_token_id(m->tokenizer, "<|image_pad|>");
    const qw_config *c = &m->core.config;
    const part_names *names = names_of(m);
    if (n > c->text.vocab_size)
        return qw_fail(err, QWREN_E_FORMAT, "%s: %s has %d tokens, but %s is %d: they belong to different models", m->path, names->tokens,
                       (int)n, names->rows, c->text.vocab_size);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (qwren_token_id(m->tokenizer, needed[i]) < 0)
            return qw_fail(err, QWREN_E_FORMAT, "%s: %s has no token %s: a conversation cannot be written with it", m->path, names->tokens,
                           needed[i]);
    if (m->core.has_vision && pad != c->image_token)
        return qw_fail(err, QWREN_E_FORMAT, "%s: <|image_pad|> is %d in %s, but %s is %d", m->path, (int)pad, names->tokens,
                       names->image_token, (int)c->image_token);
    return QWREN_OK;
}

static qwren_status has_tokenizer(const qwren_model *m, bool *there, qwren_error *err)
{
    const qw_gguf *settings = qw_weights_gguf(m->core.weights);
    char *file = settings ? NULL : qw_path_join(m->path, "tokenizer.json");
    if (!settings && !file)
        return qw_fail_memory(err, strlen(m->path), "a path");
    *there = settings ? qw_api_gguf_has_tokenizer(settings) : qw_file_exists(file);
    qw_free(file);
    return QWREN_OK;
}

/* Weights alone can be inspected; everything else needs their tokenizer. */
static qwren_status open_tokenizer(qwren_model *m, const qwren_model_options *opt, qwren_error *err)
{
    bool there = !opt->no_tokenizer;
    if (there && opt->config_only)
        QW_TRY(has_tokenizer(m, &there, err));
    if (!there)
        return QWREN_OK;
    QW_TRY(qw_api_tokenizer_create(&m->tokenizer, m->path, qw_weights_gguf(m->core.weights), err));
    QW_TRY(check_tokenizer(m, err));
    find_tokens(m);
    QW_TRY(qw_replay_create(&m->replay, QW_REPLAY_BYTES, err));
    return opt->cache_dir && !opt->config_only ? qw_replay_keep_in(m->replay, opt->cache_dir, m->tokenizer->vocabulary, err) : QWREN_OK;
}

/* "qwren-nano (custom, 6bit)" */
static void write_name(char *name, size_t size, const qwren_model *m)
{
    const char *base = qw_path_base(m->path), *recipe = m->info.recipe;
    const int n = snprintf(name, size, "%.*s", (int)size / 2, *base ? base : m->path);
    name[qw_utf8_complete_prefix(name, (size_t)n)] = '\0';
    snprintf(name + strlen(name), size - strlen(name), " (%s%s%.20s)", m->info.size_name, recipe ? ", " : "", recipe ? recipe : "");
}

qwren_status qw_model_share(qwren_model *m, const qwren_model_options *opt, qwren_error *err)
{
    char name[96];
    write_name(name, sizeof name, m);
    const qw_caches_options o = {
        .bytes = opt->cache_bytes, .dir = opt->config_only ? NULL : opt->cache_dir, .dir_bytes = opt->cache_dir_bytes, .name = name
    };
    return qw_caches_create(&m->caches, &o, err);
}

qwren_status qw_model_check_options(const qwren_model_options *opt, qwren_error *err)
{
    if (opt->n_threads < 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "n_threads is %d; give a positive number, or 0 for all physical cores", opt->n_threads);
    if ((int)opt->arithmetic < 0 || opt->arithmetic > QWREN_ARITHMETIC_EXACT)
        return qw_fail(err, QWREN_E_ARGUMENT, "arithmetic is %d; give one of qwren_arithmetic", (int)opt->arithmetic);
    if (opt->yarn_factor != 0 && !(opt->yarn_factor >= 1 && opt->yarn_factor <= MOST_YARN))
        return qw_fail(err, QWREN_E_ARGUMENT, "yarn_factor is %g; give a number from 1 to %d, or 0 for what the files say",
                       opt->yarn_factor, MOST_YARN);
    if (opt->cache_dir && !*opt->cache_dir)
        return qw_fail(err, QWREN_E_ARGUMENT, "cache_dir is empty; give the name of a folder");
    return QWREN_OK;
}

static qwren_status open_model(qwren_model *m, const char *path, const qwren_model_options *opt, qwren_error *err)
{
    qw_model_params params = {
        .n_threads = opt->n_threads,
        .config_only = opt->config_only,
        .progress = opt->progress,
        .progress_ctx = opt->progress_ctx,
        .mmproj = opt->mmproj,
        .lock = opt->lock_memory,
        .arithmetic = opt->arithmetic,
        .yarn_factor = opt->yarn_factor,
    };
    QW_TRY(qw_model_check_options(opt, err));
    m->weights_stay = opt->lock_memory;
    m->path = qw_strdup(path);
    if (!m->path)
        return qw_fail_memory(err, strlen(path) + 1, "a path");
    QW_TRY(qw_model_init(&m->core, path, &params, err));
    QW_TRY(qw_model_describe(m, err));
    QW_TRY(qw_model_share(m, opt, err));
    return open_tokenizer(m, opt, err);
}

qwren_model *qw_model_new(qwren_error *err)
{
    qwren_model *m = qw_calloc(1, sizeof *m);
    if (!m)
        qw_fail_memory(err, sizeof *m, "a model");
    for (int tag = 0; m && tag < QW_TAG_COUNT; tag++)
        m->tags[tag] = -1;
    return m;
}

qwren_status qwren_model_open(qwren_model **out, const char *path, const qwren_model_options *opt, qwren_error *err)
{
    qwren_model_options options = qwren_model_options_default();
    *out = NULL;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_model_options", err));
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_model_open: path is NULL; give the directory of a checkpoint or a .gguf file");
    qwren_model *m = qw_model_new(err);
    if (!m)
        return QWREN_E_MEMORY;
    qwren_status st = open_model(m, path, &options, err);
    if (st == QWREN_OK)
        *out = m;
    else
        qwren_model_close(m);
    return st;
}

void qwren_model_close(qwren_model *m)
{
    if (!m)
        return;
    qw_caches_free(m->caches);
    qw_replay_free(m->replay);
    qwren_tokenizer_close(m->tokenizer);
    qw_free(m->tensors);
    qw_records_free(m->records);
    qw_model_deinit(&m->core);
    qw_free(m->made_by);
    qw_free(m->path);
    qw_free(m);
}

/* ---- questions */

const qwren_tokenizer *qwren_model_tokenizer(const qwren_model *m) { return m->tokenizer; }
const qwren_model_info *qwren_model_get_info(const qwren_model *m) { return &m->info; }

qwren_status qwren_model_get_memory(const qwren_model *m, size_t n_ctx, qwren_kv_type kv_type, qwren_memory_info *out, qwren_error *err)
{
    const qwren_session_options ahead = { .spec = QWREN_SPEC_AUTO };
    qw_memplan plan;
    *out = (qwren_memory_info){ 0 };
    QW_TRY(qw_kv_type_check(kv_type, err));
    QW_TRY(qw_memplan_make(&plan, &m->core.config.text, n_ctx, qw_cache_type(&m->core, kv_type), 0, err));
    out->kv_bytes = plan.kv_bytes;
    out->state_bytes = plan.state_bytes;
    out->scratch_bytes = plan.scratch_bytes;
    out->total_bytes = plan.total_bytes;
    return qw_ahead_bytes(m, &ahead, n_ctx, kv_type, &out->spec_bytes, err);
}
