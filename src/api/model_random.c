/* qwren_model_random: a published shape with made-up weights, for measuring without a download. The tensors of the shape get the bits of a
 * recipe, all bytes lie in one piece of memory, and the rest is what opening does with files. Sizes of numbers are those that keep a
 * forward pass in order: rows of a matrix have about the length 1. Tested by tests/unit/test_model_random.c. */
#include "api/model.h"
#include "api/options.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "convert/plan.h"
#include "model/config_published.h"
#include "quant/half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES 80
#define PIECE_BYTES ((size_t)1 << 20) /* filled by a thread at a time */
#define MOST_TENSORS 4096             /* three times what the largest shape has */

typedef struct made {
    char name[NAME_BYTES];
    size_t at, n_bytes; /* in the one piece of memory */
    qw_type type;
    int n_dims;
    size_t shape[QW_MAX_DIMS];
    float values[16]; /* floats are drawn from these; codes are random bits */
} made;

typedef struct making {
    const qw_recipe *recipe; /* NULL: bf16 */
    made *list;              /* [MOST_TENSORS] */
    size_t n, n_bytes;
    uint8_t *bytes;
} making;

/* ---- what there is to make */

static qwren_status add(making *m, const char *name, qw_type type, int n_dims, const size_t *shape, made **out, qwren_error *err)
{
    if (m->n == MOST_TENSORS)
        return qw_fail(err, QWREN_E_INTERNAL, "more tensors than a published model has");
    made *t = *out = &m->list[m->n++];
    *t = (made){ .at = m->n_bytes, .type = type, .n_dims = n_dims, .n_bytes = qw_type_block_bytes(type) };
    snprintf(t->name, sizeof t->name, "%s", name);
    for (int i = 0; i < n_dims; i++) {
        t->shape[i] = shape[i];
        t->n_bytes *= shape[i];
    }
    m->n_bytes += (t->n_bytes + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN;
    return QWREN_OK;
}

/* Sixteen values around the middle, up to `spread` away, without repeats. */
static void draw_around(made *t, double middle, double spread)
{
    for (int i = 0; i < 16; i++)
        t->values[i] = (float)(middle + spread * (2 * i - 15) / 15);
}

static bool has(const char *name, const char *part) { return strstr(name, part) != NULL; }

/* Floats as trained models have them: factors of norms about 1, decays between slow and fast, everything else small and of both signs. */
static void choose_values(made *t, size_t cols)
{
    if (has(t->name, "norm") && has(t->name, ".weight"))
        draw_around(t, 1, 0.2);
    else if (has(t->name, "A_log"))
        draw_around(t, 0, 2);
    else if (has(t->name, "dt_bias"))
        draw_around(t, -2, 2);
    else
        draw_around(t, 0, 1.6 / sqrt((double)(cols ? cols : 1)));
}

/* Codes of `bits`, a scale and a bias for each group: the same ones go together, so that a group's mean is 0. */
static qwren_status add_codes(making *m, const char *name, const size_t shape[2], qw_choice c, qwren_error *err)
{
    const double largest = (1 << c.bits) - 1, scale = sqrt(12.0 / (double)shape[1]) / (largest + 1);
    const size_t words[2] = { shape[0], shape[1] * (size_t)c.bits / 32 }, groups[2] = { shape[0], shape[1] / (size_t)c.group };
    char beside[QW_NAME_BYTES];
    made *t = NULL;
    QW_TRY(add(m, name, QW_TYPE_U32, 2, words, &t, err));
    QW_TRY(add(m, qw_name_beside(name, ".scales", beside), QW_TYPE_BF16, 2, groups, &t, err));
    draw_around(t, scale, scale / 8);
    for (int i = 0; i < 16; i++) /* as they will be read */
        t->values[i] = qw_bf16_to_f32(qw_f32_to_bf16(t->values[i]));
    const float *scales = t->values;
    QW_TRY(add(m, qw_name_beside(name, ".biases", beside), QW_TYPE_BF16, 2, groups, &t, err));
    for (int i = 0; i < 16; i++)
        t->values[i] = (float)(-largest / 2) * scales[i];
    return QWREN_OK;
}

static qwren_status add_tensor(void *ctx, const char *name, int n_dims, const size_t *shape, qwren_error *err)
{
    making *m = ctx;
    made *t = NULL;
    const char *note;
    size_t cols = 1;
    for (int i = 1; i < n_dims; i++)
        cols *= shape[i];
    if (m->recipe && n_dims == 2) {
        const qw_choice c = qw_choice_fit(m->recipe->choice[qw_class_of(name)], shape[1], &note);
        if (c.bits)
            return add_codes(m, name, shape, c, err);
    }
    QW_TRY(add(m, name, QW_TYPE_BF16, n_dims, shape, &t, err));
    choose_values(t, cols);
    return QWREN_OK;
}

/* ---- filling */

/* A bijection that leaves no pattern (splitmix64): the same bytes wherever the work is cut. */
static uint64_t mixed(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static void fill_codes(uint8_t *to, size_t begin, size_t end, uint64_t seed)
{
    for (size_t i = begin; i < end; i += sizeof(uint64_t)) {
        const uint64_t word = mixed(seed + i);
        memcpy(to + i, &word, end - i < sizeof word ? end - i : sizeof word);
    }
}

/* A word chooses sixteen floats; scales and biases share their seed. */
static void fill_floats(uint8_t *to, size_t begin, size_t end, uint64_t seed, const float values[16])
{
    uint16_t halves[16];
    for (int i = 0; i < 16; i++)
        halves[i] = qw_f32_to_bf16(values[i]);
    uint64_t word = 0;
    for (size_t i = begin / 2; i < end / 2; i++) {
        word = i % 16 && i != begin / 2 ? word >> 4 : mixed(seed + i / 16) >> i % 16 * 4;
        memcpy(to + 2 * i, &halves[word & 15], 2);
    }
}

static void fill_piece(const making *m, const made *t, size_t begin, size_t end)
{
    uint64_t seed = 0;
    for (const char *p = t->name, *end_of_stem = strrchr(t->name, '.'); p < end_of_stem; p++)
        seed = mixed(seed + (unsigned char)*p);
    if (t->type == QW_TYPE_U32)
        fill_codes(m->bytes + t->at, begin, end, seed);
    else
        fill_floats(m->bytes + t->at, begin, end, seed, t->values);
}

/* Pieces of the whole memory; a tensor's piece begins at its own multiple of PIECE_BYTES. */
static void fill_tensors(const making *m, size_t begin, size_t end)
{
    for (size_t i = 0; i < m->n; i++) {
        const made *t = &m->list[i];
        for (size_t at = 0; at < t->n_bytes; at += PIECE_BYTES) {
            const size_t piece = (t->at + at) / PIECE_BYTES;
            if (piece >= begin && piece < end)
                fill_piece(m, t, at, at + PIECE_BYTES < t->n_bytes ? at + PIECE_BYTES : t->n_bytes);
        }
    }
}

/* Pieces between two questions whether to go on: a small part of a second. */
#define PORTION 64

typedef struct portion {
    const making *m;
    size_t first; /* piece */
} portion;

static void fill_pieces(void *ctx, size_t begin, size_t end, int worker)
{
    const portion *p = ctx;
    (void)worker;
    fill_tensors(p->m, p->first + begin, p->first + end);
}

static qwren_status fill(const making *m, const qwren_model_options *opt, qwren_error *err)
{
    const size_t pieces = m->n_bytes / PIECE_BYTES + 1;
    qwren_status st = QWREN_OK;
    qw_pool *pool;
    QW_TRY(qw_pool_create(&pool, opt->n_threads ? opt->n_threads : qw_cpu_count(), err));
    for (size_t at = 0; st == QWREN_OK && at < pieces; at += PORTION) {
        if (opt->progress && !opt->progress(opt->progress_ctx, "weights", at, pieces))
            st = qw_fail(err, QWREN_E_CANCELLED, "making up a model was cancelled");
        else
            qw_parallel_for(pool, pieces - at < PORTION ? pieces - at : PORTION, 8, fill_pieces, &(portion){ m, at });
    }
    qw_pool_free(pool);
    return st;
}

/* ---- the model of it */

/* What nobody will compute with stays as the system gives it, zeros without memory behind them. */
static qwren_status make_weights(qw_weights **out, making *m, const qwren_model_options *opt, qwren_error *err)
{
    qw_map memory;
    qw_tensor *tensors = qw_alloc_array(m->n, sizeof *tensors);
    if (!tensors)
        return qw_fail_memory(err, m->n * sizeof *tensors, "the list of tensors");
    qwren_status st = qw_map_make(&memory, &m->bytes, m->n_bytes, err);
    if (st == QWREN_OK && !opt->config_only)
        st = fill(m, opt, err);
    for (size_t i = 0; st == QWREN_OK && i < m->n; i++) {
        const made *t = &m->list[i];
        tensors[i] = (qw_tensor){ .name = t->name,
                                  .file_name = t->name,
                                  .file = "memory",
                                  .dtype = qw_type_name(t->type),
                                  .type = t->type,
                                  .n_dims = t->n_dims,
                                  .data = m->bytes + t->at,
                                  .n_bytes = t->n_bytes };
        memcpy(tensors[i].shape, t->shape, sizeof t->shape);
    }
    if (st == QWREN_OK)
        st = qw_weights_make(out, tensors, m->n, &memory, err);
    qw_map_close(&memory);
    qw_free(tensors);
    return st;
}

static qwren_status read_recipe(qw_recipe *r, const char *name, bool *is_bf16, qwren_error *err)
{
    qwren_error why;
    *is_bf16 = name && strcmp(name, "bf16") == 0;
    if (*is_bf16)
        return QWREN_OK;
    const qwren_status st = qw_recipe_make(r, &(qw_recipe_wish){ .name = name }, &why);
    return st == QWREN_OK ? st : qw_fail(err, st, "%s; a made-up model takes all of them but auto, and bf16", why.text);
}

static qwren_status make_tensors(qw_weights **out, const qw_config *c, const char *recipe, const qwren_model_options *opt, qwren_error *err)
{
    qw_recipe r;
    bool is_bf16;
    QW_TRY(read_recipe(&r, recipe, &is_bf16, err));
    making m = { .recipe = is_bf16 ? NULL : &r, .list = qw_alloc_array(MOST_TENSORS, sizeof *m.list) };
    if (!m.list)
        return qw_fail_memory(err, MOST_TENSORS * sizeof *m.list, "the list of tensors");
    qwren_status st = qw_config_each_tensor(c, add_tensor, &m, err);
    if (st == QWREN_OK)
        st = make_weights(out, &m, opt, err);
    qw_free(m.list);
    return st;
}

static qwren_status make_model(qwren_model *m, const qw_config *c, const char *shape, const char *recipe, const qwren_model_options *opt,
                               qwren_error *err)
{
    char name[80];
    snprintf(name, sizeof name, "random %s", shape);
    m->weights_stay = true;
    m->path = qw_strdup(name);
    m->made_by = qw_strdup(recipe);
    if (!m->path || !m->made_by)
        return qw_fail_memory(err, sizeof name, "a name");
    qw_model_params params = { .n_threads = opt->n_threads,
                               .yarn_factor = opt->yarn_factor,
                               .arithmetic = opt->arithmetic,
                               .config_only = opt->config_only,
                               .progress = opt->progress,
                               .progress_ctx = opt->progress_ctx,
                               .made_config = c };
    QW_TRY(make_tensors(&params.made_weights, c, recipe, opt, err));
    QW_TRY(qw_model_init(&m->core, m->path, &params, err));
    QW_TRY(qw_model_describe(m, err));
    return qw_model_share(m, opt, err);
}

qwren_status qwren_model_random(qwren_model **out, const char *shape, const char *recipe, const qwren_model_options *opt, qwren_error *err)
{
    qwren_model_options options = qwren_model_options_default();
    qw_config c;
    *out = NULL;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_model_options", err));
    if (!shape || !qw_config_published(&c, shape))
        return qw_fail(err, QWREN_E_ARGUMENT, "there is no published shape \"%.60s\"; there are " QW_PUBLISHED_TEXT, shape ? shape : "");
    QW_TRY(qw_model_check_options(&options, err));
    qwren_model *m = qw_model_new(err);
    if (!m)
        return QWREN_E_MEMORY;
    qwren_status st = make_model(m, &c, shape, recipe ? recipe : "6bit", &options, err);
    if (st == QWREN_OK)
        *out = m;
    else
        qwren_model_close(m);
    return st;
}
