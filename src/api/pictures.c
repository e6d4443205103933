/* Pictures of a request -> rows of the decoder's width (pictures.h), and qwren_image_preprocess, which stops one step before, and
 * qwren_image_encode. Between image/ and model/merge.c. Tested by tests/unit/test_api_session.c and tests/unit/test_chat.c. */
#include "api/pictures.h"

#include "api/image.h"
#include "base/alloc.h"

#include <string.h>

qwren_status qw_pictures_init(qw_pictures *p, const qwren_model *m, size_t n, qwren_error *err)
{
    *p = (qw_pictures){ .model = m, .room = n };
    if (!n)
        return QWREN_OK;
    if (!m->core.has_vision)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: this model has no image tower; leave the pictures out, or use one that has", m->path);
    p->pixels = qw_calloc(n, sizeof *p->pixels);
    p->grids = qw_calloc(n, sizeof *p->grids);
    p->hashes = qw_calloc(n, sizeof *p->hashes);
    p->rows = qw_calloc(n, sizeof *p->rows);
    if (!p->pixels || !p->grids || !p->hashes || !p->rows)
        return qw_fail_memory(err, n * (sizeof *p->pixels + sizeof *p->grids), "a list of pictures");
    return QWREN_OK;
}

void qw_pictures_deinit(qw_pictures *p)
{
    for (size_t i = 0; p->pixels && p->rows && i < p->room; i++) {
        qw_pixels_free(&p->pixels[i]);
        qw_free(p->rows[i]);
    }
    qw_free(p->pixels);
    qw_free(p->grids);
    qw_free(p->hashes);
    qw_free(p->rows);
    *p = (qw_pictures){ 0 };
}

static size_t token_count(const qwren_model *m, qw_grid g)
{
    size_t merge = (size_t)m->core.config.vision.merge_size;
    return (size_t)g.t * ((size_t)g.h / merge) * ((size_t)g.w / merge);
}

/* Every step is a bijection of h for a given word, so that pictures which differ in one place never meet. */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ (h >> 29);
}

/* Of pixels and size: a session recognises a picture that it has already seen. */
static uint64_t hash_pixels(const qw_pixels *p)
{
    size_t n = (size_t)p->width * (size_t)p->height * 3, i = 0;
    uint64_t h = mix(mix(0, (uint64_t)p->width), (uint64_t)p->height), word;
    for (; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p->rgb + i, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    memcpy(&word, p->rgb + i, n - i);
    return mix(h, word);
}

/* The picture as the tower wants it. */
static qwren_status fit(const qwren_model *m, const qwren_image *image, qw_pixels *pixels, qw_grid *grid, qwren_error *err)
{
    qw_patch_config c = qw_model_patch_config(&m->core);
    QW_TRY(qw_patch_grid(grid, image->pixels.width, image->pixels.height, &c, err));
    return qw_image_resize(pixels, &image->pixels, grid->w * c.patch_size, grid->h * c.patch_size, err);
}

bool qw_pictures_has(const qw_pictures *p, size_t i) { return i < p->room && p->grids[i].h > 0; }

size_t qw_pictures_count(const qw_pictures *p, size_t i) { return qw_pictures_has(p, i) ? token_count(p->model, p->grids[i]) : 0; }

qwren_status qw_pictures_put(qw_pictures *p, size_t i, const qwren_image *image, qwren_error *err)
{
    qw_grid grid;
    if (i >= p->room || qw_pictures_has(p, i))
        return qw_fail(err, QWREN_E_INTERNAL, "picture %zu was not announced, or comes twice", i + 1);
    QW_TRY(fit(p->model, image, &p->pixels[i], &grid, err));
    p->grids[i] = grid;
    p->hashes[i] = hash_pixels(&p->pixels[i]);
    p->n_tokens += token_count(p->model, grid);
    p->n++;
    return QWREN_OK;
}

qwren_status qw_pictures_add(qw_pictures *p, const qwren_image *image, qwren_error *err) { return qw_pictures_put(p, p->n, image, err); }

void qw_pictures_remove(qw_pictures *p, size_t first, size_t end)
{
    const size_t n = end - first, behind = p->room - end;
    if (!n)
        return;
    for (size_t i = first; i < end; i++) {
        p->n_tokens -= qw_pictures_count(p, i);
        p->n -= qw_pictures_has(p, i);
        qw_pixels_free(&p->pixels[i]);
        qw_free(p->rows[i]);
    }
    memmove(p->pixels + first, p->pixels + end, behind * sizeof *p->pixels);
    memmove(p->grids + first, p->grids + end, behind * sizeof *p->grids);
    memmove(p->hashes + first, p->hashes + end, behind * sizeof *p->hashes);
    memmove(p->rows + first, p->rows + end, behind * sizeof *p->rows);
    p->room -= n;
}

qwren_status qw_pictures_see(qw_pictures *p, qw_image_span *span, const qw_vision_trace *trace, qwren_error *err)
{
    size_t i = span->image, n_rows = 0;
    if (!p->rows[i]) {
        const qw_model *m = &p->model->core;
        qw_patch_config c = qw_model_patch_config(m);
        QW_TRY(qw_vision_forward(m->ops, &m->vision, &c, &p->pixels[i], p->grids[i], trace, &p->rows[i], &n_rows, err));
        if (n_rows != span->n)
            return qw_fail(err, QWREN_E_INTERNAL, "picture %zu has %zu rows for %zu tokens", i + 1, n_rows, span->n);
        qw_pixels_free(&p->pixels[i]);
    }
    span->rows = p->rows[i];
    return QWREN_OK;
}

qwren_status qwren_image_preprocess(const qwren_model *m, const qwren_image *img, float **patches, size_t *n_rows, size_t *row_len,
                                    int grid[3], qwren_error *err)
{
    *patches = NULL;
    *n_rows = *row_len = 0;
    grid[0] = grid[1] = grid[2] = 0;
    if (!m->core.has_vision)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: this model has no image tower, so there is no size to bring a picture to", m->path);
    qw_patch_config c = qw_model_patch_config(&m->core);
    qw_pixels pixels = { 0 };
    qw_grid g;
    QW_TRY(fit(m, img, &pixels, &g, err));
    size_t rows = (size_t)g.t * (size_t)g.h * (size_t)g.w, len = qw_patch_length(&c), bytes = 0;
    float *out = qw_mul_size(rows, len * sizeof *out, &bytes) ? qw_malloc(bytes) : NULL;
    if (out)
        qw_patches_make(out, &pixels, &c, g);
    qw_pixels_free(&pixels);
    if (!out)
        return qw_fail_memory(err, bytes, "patches");
    *patches = out;
    *n_rows = rows;
    *row_len = len;
    grid[0] = g.t;
    grid[1] = g.h;
    grid[2] = g.w;
    return QWREN_OK;
}

/* Who waits for one picture. */
typedef struct viewer {
    qwren_progress_fn progress;
    void *ctx;
    int done, total; /* steps of the tower */
} viewer;

static bool still_waits(void *ctx)
{
    const viewer *v = ctx;
    return !v->progress || v->progress(v->ctx, "picture", (uint64_t)v->done, (uint64_t)v->total);
}

static bool step_done(void *ctx, int step, const float *x, size_t n)
{
    viewer *v = ctx;
    (void)x, (void)n;
    v->done = step + 1;
    return still_waits(v);
}

qwren_status qwren_image_encode(const qwren_model *m, const qwren_image *img, qwren_progress_fn progress, void *progress_ctx, float **rows,
                                size_t *n_rows, size_t *row_len, qwren_error *err)
{
    *rows = NULL;
    *n_rows = *row_len = 0;
    if (!m->core.has_vision)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: this model has no image tower, so it sees no picture", m->path);
    if (!m->core.ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with config_only; open it without to see a picture", m->path);
    qw_patch_config c = qw_model_patch_config(&m->core);
    viewer v = { progress, progress_ctx, 0, m->core.config.vision.depth + 3 };
    const qw_vision_trace trace = { step_done, &v, still_waits };
    qw_pixels pixels = { 0 };
    qw_grid g;
    QW_TRY(fit(m, img, &pixels, &g, err));
    qwren_status st = qw_vision_forward(m->core.ops, &m->core.vision, &c, &pixels, g, &trace, rows, n_rows, err);
    qw_pixels_free(&pixels);
    *row_len = st == QWREN_OK ? (size_t)m->core.config.vision.out_hidden_size : 0;
    return st;
}
