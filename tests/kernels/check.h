/* The check of kernels, in the manner of checkasm: every slot of every level against plain C over random shapes, with guard values around outputs, and how fast
 * it is. A program of its own without any library, so that it builds and runs anywhere, also under an emulator.
 *
 * A slot's check is a check_case: inputs of a random shape, one run with a table of kernels, an output to compare. A new one is a line in a table of
 * check_q8.c, check_float.c, ... */
#ifndef QW_TESTS_KERNELS_CHECK_H
#define QW_TESTS_KERNELS_CHECK_H

#include "base/rng.h"
#include "kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

/* What a case computes with; made by `make`, `state` is its own. Outputs are floats; whatever a slot writes is copied there by `run`. */
typedef struct check_run {
    qw_rng rng;
    bool large; /* the shape to be timed: a real model's */
    int param;  /* from the case: a type, a number of tokens */
    void *state;
    float *out;
    size_t n_out;
    double work; /* of one run, in `unit` times 1e9 */
} check_run;

typedef struct check_case {
    const char *slot, *what; /* "matmul_q8", "AFFINE6 1 token" */
    const char *unit;        /* "Gop/s", "GB/s", "Gvalue/s" */
    double limit;            /* of |difference| to the largest |value| of the output; 0: equal to the bit */
    int param;
    void (*make)(check_run *r);
    void (*run)(const qw_kernels *k, check_run *r);
    bool (*here)(const qw_kernels *k, int param); /* NULL: the slot is on every level */
} check_case;

/* Tables that end with a case without a slot. */
extern const check_case check_q8_cases[], check_float_cases[], check_mix_cases[], check_attn_cases[];

/* Memory of a run, freed with it: with guard values on both sides that are looked at after each run, and a page behind it that nobody may touch. Aligned to 64
 * bytes when `off` is 0; otherwise it ends off - 1 bytes before that page, wherever it begins. */
void *check_alloc(check_run *r, size_t bytes, size_t off);
float *check_floats(check_run *r, size_t n); /* normal values */
float *check_output(check_run *r, size_t n); /* zeroes, and r->out = it */
size_t check_between(check_run *r, size_t low, size_t high);
float check_normal(check_run *r);

#endif
