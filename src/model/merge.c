/* Prompt ids -> timeline (merge.h, docs/model.md sections 3 and 6): pads grow to their pictures' size, every token gets its rotary position
 * and a key by which a session recognises what it holds already. Tested by tests/unit/test_merge.c. */
#include "model/merge.h"

#include "base/alloc.h"

/* A placeholder: of a picture, or of one pair of frames of a video, which has a grid of its own. */
static bool is_pad(const qw_config *c, int32_t id) { return id == c->image_token || id == c->video_token; }

/* ---- checks and sizes */

static qwren_status check_ids(const qw_config *c, const int32_t *ids, size_t n_ids, size_t *n_pads, qwren_error *err)
{
    *n_pads = 0;
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || ids[i] >= c->text.vocab_size)
            return qw_fail(err, QWREN_E_ARGUMENT, "token %zu has the id %d: the model knows 0 to %d", i, (int)ids[i],
                           c->text.vocab_size - 1);
        *n_pads += is_pad(c, ids[i]);
    }
    return QWREN_OK;
}

static qwren_status check_pads(const qw_config *c, size_t n_pads, size_t n_images, qwren_error *err)
{
    if (n_pads != n_images)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "the prompt has %zu placeholder%s for pictures, but there %s %zu picture%s: give one for each", n_pads,
                       n_pads == 1 ? "" : "s", n_images == 1 ? "is" : "are", n_images, n_images == 1 ? "" : "s");
    if (n_pads && (!c->vision.present || c->vision.merge_size <= 0))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "this model has no image tower: ask it without pictures");
    return QWREN_OK;
}

/* Rows and columns of tokens that a picture becomes. */
static int rows_of(const qw_config *c, qw_grid g) { return g.h / c->vision.merge_size; }
static int cols_of(const qw_config *c, qw_grid g) { return g.w / c->vision.merge_size; }

/* Tokens of the timeline; positions never go further than first_pos plus their number. */
static qwren_status count_tokens(const qw_config *c, size_t n_ids, const qw_grid *grids, size_t n_images, int32_t first_pos, size_t *n,
                                 qwren_error *err)
{
    int merge = c->vision.merge_size;
    size_t n_picture = 0;
    bool fits = true;
    for (size_t i = 0; i < n_images; i++) {
        qw_grid g = grids[i];
        if (g.t != 1 || g.h <= 0 || g.w <= 0 || g.h % merge || g.w % merge)
            return qw_fail(err, QWREN_E_ARGUMENT,
                           "picture %zu has a grid of %d x %d x %d patches: it needs one frame and sides that are multiples of %d", i + 1,
                           g.t, g.h, g.w, merge);
        size_t tokens;
        fits = fits && qw_mul_size((size_t)rows_of(c, g), (size_t)cols_of(c, g), &tokens) && qw_add_size(n_picture, tokens, &n_picture);
    }
    fits = fits && first_pos >= 0 && qw_add_size(n_ids - n_images, n_picture, n) && *n <= (size_t)(INT32_MAX - first_pos);
    return fits ? QWREN_OK
                : qw_fail(err, QWREN_E_LIMIT, "a prompt of so many tokens cannot be numbered: shorten it or use smaller pictures");
}

static qwren_status take_memory(qw_timeline *t, size_t n, size_t n_spans, qwren_error *err)
{
    t->ids = qw_alloc_array(n, sizeof *t->ids);
    t->pos = qw_alloc_array(n, sizeof *t->pos);
    t->keys = qw_alloc_array(n, sizeof *t->keys);
    t->spans = qw_alloc_array(n_spans, sizeof *t->spans);
    if (t->ids && t->pos && t->keys && t->spans)
        return QWREN_OK;
    qw_timeline_deinit(t);
    return qw_fail(err, QWREN_E_MEMORY, "not enough memory for a prompt of %zu tokens", n);
}

/* ---- keys */

/* A bijection that leaves no bit where it was (the finaliser of splitmix64). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* What stands at token `index` of a picture: what it shows, at which size, and where in it. */
static uint64_t picture_key(uint64_t hash, int32_t id, qw_grid g, size_t index)
{
    uint64_t size = (uint64_t)(uint32_t)g.h << 32 | (uint32_t)g.w;
    uint64_t place = (uint64_t)index << 32 | (uint32_t)id;
    return mix(mix(mix(hash + 0x9E3779B97F4A7C15u) ^ size) ^ place) | QW_PICTURE_KEY;
}

/* ---- filling */

static void add_text(qw_timeline *t, int32_t id)
{
    size_t i = t->n++;
    t->ids[i] = id;
    t->keys[i] = (uint64_t)id;
    t->pos[i][0] = t->pos[i][1] = t->pos[i][2] = t->next_pos++;
}

/* Its tokens share one time; they count down and across from where the text stood. The text goes on behind the longer side. */
static void add_picture(qw_timeline *t, const qw_config *c, int32_t id, qw_grid g, uint64_t hash)
{
    int rows = rows_of(c, g), cols = cols_of(c, g);
    size_t begin = t->n;
    for (int row = 0; row < rows; row++) {
        for (int col = 0; col < cols; col++) {
            size_t i = t->n++;
            t->ids[i] = id;
            t->keys[i] = picture_key(hash, id, g, i - begin);
            t->pos[i][0] = t->next_pos;
            t->pos[i][1] = t->next_pos + row;
            t->pos[i][2] = t->next_pos + col;
        }
    }
    t->next_pos += rows > cols ? rows : cols;
    t->spans[t->n_spans] = (qw_image_span){ .begin = begin, .n = t->n - begin, .image = t->n_spans };
    t->n_spans++;
}

qwren_status qw_timeline_build(qw_timeline *out, const qw_config *c, const int32_t *ids, size_t n_ids, const qw_grid *grids,
                               const uint64_t *hashes, size_t n_images, int32_t first_pos, qwren_error *err)
{
    size_t n_pads, n;
    *out = (qw_timeline){ 0 };
    QW_TRY(check_ids(c, ids, n_ids, &n_pads, err));
    QW_TRY(check_pads(c, n_pads, n_images, err));
    QW_TRY(count_tokens(c, n_ids, grids, n_images, first_pos, &n, err));
    QW_TRY(take_memory(out, n, n_images, err));
    out->next_pos = first_pos;
    for (size_t i = 0; i < n_ids; i++) {
        if (is_pad(c, ids[i]))
            add_picture(out, c, ids[i], grids[out->n_spans], hashes[out->n_spans]);
        else
            add_text(out, ids[i]);
    }
    return QWREN_OK;
}

bool qw_keys_are_singular(const uint64_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((keys[i] & (QW_PICTURE_KEY | QW_NO_ID)) == QW_NO_ID)
            return true;
    return false;
}

void qw_timeline_deinit(qw_timeline *t)
{
    qw_free(t->ids);
    qw_free(t->pos);
    qw_free(t->keys);
    qw_free(t->spans);
    *t = (qw_timeline){ 0 };
}
