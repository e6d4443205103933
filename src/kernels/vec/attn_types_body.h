/* The types of cache that every level with vectors has, and its table. The file that includes it defines load_i8(p): sixteen bytes as floats. Tested by
 * tests/unit/test_kernels_attn.c. */
#ifndef QW_KERNELS_ATTN_TYPES_BODY_H
#define QW_KERNELS_ATTN_TYPES_BODY_H

#include "kernels/vec/attn_body.h"
#include "kernels/vec/attn_q4_body.h"
#include "kernels/vec/kv_body.h"

#define ATTN_NAME f32
#define ATTN_VALUE float
#define ATTN_LOAD v16_load
#include "kernels/vec/attn_type_body.h"

#define ATTN_NAME f16
#define ATTN_VALUE uint16_t
#define ATTN_LOAD v16_load_f16
#include "kernels/vec/attn_type_body.h"

#define ATTN_NAME bf16
#define ATTN_VALUE uint16_t
#define ATTN_LOAD v16_load_bf16
#include "kernels/vec/attn_type_body.h"

#define ATTN_NAME q8
#define ATTN_VALUE int8_t
#define ATTN_LOAD load_i8
#define ATTN_SCALED
#include "kernels/vec/attn_type_body.h"

#define ATTN_NAME q4
#define ATTN_OWN
#include "kernels/vec/attn_type_body.h"

static void attn_fill(qw_kernels *k)
{
    k->kv_append[QW_KV_F32] = kv_append_f32;
    k->kv_append[QW_KV_F16] = kv_append_f16;
    k->kv_append[QW_KV_BF16] = kv_append_bf16;
    k->kv_append[QW_KV_Q8] = kv_append_q8;
    k->attend[QW_KV_F32] = attend_f32;
    k->attend[QW_KV_F16] = attend_f16;
    k->attend[QW_KV_BF16] = attend_bf16;
    k->attend[QW_KV_Q8] = attend_q8;
    k->attend[QW_KV_Q4] = attend_q4;
    k->attend_splits[QW_KV_F32] = attend_splits_f32;
    k->attend_splits[QW_KV_F16] = attend_splits_f16;
    k->attend_splits[QW_KV_BF16] = attend_splits_bf16;
    k->attend_splits[QW_KV_Q8] = attend_splits_q8;
    k->attend_splits[QW_KV_Q4] = attend_splits_q4;
    k->attend_merge = attn_merge_parts;
}

#endif
