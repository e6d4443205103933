/* The slots of the cache, and of attention what a decode and the image tower ask; a prompt is in check_mix.c. tests/unit/test_kernels_attn.c compares with double
 * precision and looks at cuts and borders. */
#include "check.h"

#include <math.h>

typedef struct attention {
    qw_kv kv;
    const float *k, *v;
    size_t capacity;
    qw_attend_args a;
} attention;

typedef enum shape { DECODE, TOWER } shape;

/* Plain C has no bf16 pairs: its F32 is what they are compared with. */
static qw_kv_type type_of(const qw_kernels *k, int param)
{
    const qw_kv_type t = (qw_kv_type)(param % QW_KV_TYPES);
    return k->attend[t] ? t : QW_KV_F32;
}

static bool here(const qw_kernels *k, int param) { return k->attend[param % QW_KV_TYPES] != NULL; }

static void append(const qw_kernels *k, attention *p)
{
    const size_t hd = p->kv.head_dim;
    k->kv_append[p->kv.type](
        &(qw_kv_append_args){ .kv = &p->kv, .pos = 0, .n = p->capacity, .k = p->k, .v = p->v, .k_stride = hd, .v_stride = hd });
}

/* A decode at depth 8192 is timed, and 64 of 4096 patches. */
static void set_shape(check_run *r, attention *p)
{
    const shape s = (shape)(r->param / QW_KV_TYPES);
    p->a.n_tokens = s == DECODE ? 1 : r->large ? 64 : check_between(r, 1, 20);
    p->a.n_heads = s == TOWER ? 1 : r->large ? 4 : check_between(r, 1, 8);
    p->a.n_keys = r->large ? (s == DECODE ? 8192 : 4096) : check_between(r, 1, 1100);
    p->kv.head_dim = r->large ? (s == TOWER ? 64 : 256) : check_between(r, 1, 150);
    p->capacity = p->a.n_keys;
}

static void make_attention(check_run *r)
{
    attention *p = r->state = check_alloc(r, sizeof *p, 0);
    *p = (attention){ 0 };
    set_shape(r, p);
    const size_t hd = p->kv.head_dim, queries = p->a.n_tokens * p->a.n_heads;
    p->k = check_floats(r, p->capacity * hd);
    p->v = check_floats(r, p->capacity * hd);
    p->kv.data = check_alloc(r, qw_kv_bytes(QW_KV_F32, hd, p->capacity), 0);
    p->a.q = check_floats(r, queries * hd);
    p->a.scale = 1 / sqrtf((float)hd);
    p->a.q_head_stride = p->a.out_head_stride = hd;
    p->a.q_token_stride = p->a.out_token_stride = hd * p->a.n_heads;
    p->a.scratch = check_alloc(r, qw_attend_scratch(hd), 0);
    p->a.out = check_output(r, queries * hd);
    r->work = 4e-9 * (double)(queries * hd * p->a.n_keys);
    p->kv.type = QW_KV_TYPES;
}

static void run_attention(const qw_kernels *k, check_run *r)
{
    attention *p = r->state;
    if (p->kv.type == QW_KV_TYPES) { /* written once, so that runs that are timed only read */
        p->kv.type = type_of(k, r->param);
        append(k, p);
    }
    p->a.kv = &p->kv;
    k->attend[p->kv.type](&p->a);
}

static void make_rows(check_run *r)
{
    attention *p = r->state = check_alloc(r, sizeof *p, 0);
    *p = (attention){ .capacity = r->large ? 512 : check_between(r, 1, 50) };
    p->kv = (qw_kv){ .type = (qw_kv_type)r->param, .head_dim = r->large ? 256 : check_between(r, 1, 150) };
    p->k = check_floats(r, p->capacity * p->kv.head_dim);
    p->v = check_floats(r, p->capacity * p->kv.head_dim);
    p->kv.data = check_alloc(r, qw_kv_bytes(QW_KV_F32, p->kv.head_dim, p->capacity), 0);
    check_output(r, 2 * p->capacity * p->kv.head_dim);
    r->work = 2e-9 * (double)(p->capacity * p->kv.head_dim);
}

static void run_append(const qw_kernels *k, check_run *r)
{
    attention *p = r->state;
    const size_t hd = p->kv.head_dim;
    p->kv.type = type_of(k, r->param);
    append(k, p);
    for (size_t i = 0; !r->large && i < p->capacity; i++)
        qw_kv_get(&p->kv, i, r->out + 2 * i * hd, r->out + (2 * i + 1) * hd);
}

#define ATTEND(what, shape, type, limit)                                                                      \
  {                                                                                                           \
    "attend", what, "GFLOP/s", limit, (shape)*QW_KV_TYPES + QW_KV_##type, make_attention, run_attention, here \
  }
#define APPEND(type, limit)                                                          \
  {                                                                                  \
    "kv_append", #type, "Gvalue/s", limit, QW_KV_##type, make_rows, run_append, here \
  }

/* Sums in another order than plain C's: 1e-5 of the largest. PAIRS is compared with floats. */
const check_case check_attn_cases[] = {
    APPEND(F32, 0),
    APPEND(F16, 0),
    APPEND(BF16, 0),
    APPEND(Q8, 0),
    APPEND(Q4, 0),
    APPEND(PAIRS, 0x1p-8),
    ATTEND("F32 decode", DECODE, F32, 1e-5),
    ATTEND("F16 decode", DECODE, F16, 1e-5),
    ATTEND("BF16 decode", DECODE, BF16, 1e-5),
    ATTEND("Q8 decode", DECODE, Q8, 1e-5),
    ATTEND("Q4 decode", DECODE, Q4, 1e-5),
    ATTEND("F32 tower", TOWER, F32, 1e-5),
    ATTEND("PAIRS tower", TOWER, PAIRS, 0.02),
    { NULL, NULL, NULL, 0, 0, NULL, NULL, NULL },
};
