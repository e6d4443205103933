/* Reader of the stored values, and their comparison (golden.h). */
#include "support/golden.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights/weights.h"

#ifndef QW_TEST_DATA
#  error "QW_TEST_DATA must be the path of tests/golden/data"
#endif

#define MAX_COPIES 512

struct qw_golden {
    qw_weights *file;
    const char *name;
    void *copies[MAX_COPIES];
    size_t n_copies;
};

qw_golden *golden_open(const char *name)
{
    char path[1024];
    qwren_error err = { QWREN_OK, "" };
    qw_golden *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->name = name;
    snprintf(path, sizeof path, "%s/%s", QW_TEST_DATA, name);
    if (qw_weights_open_file(&g->file, path, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return g;
}

void golden_close(qw_golden *g)
{
    for (size_t i = 0; i < g->n_copies; i++)
        free(g->copies[i]);
    qw_weights_close(g->file);
    free(g);
}

static const qw_tensor *find(qw_golden *g, const char *name)
{
    const qw_tensor *t = qw_weights_find(g->file, name);
    if (!t)
        fail_msg("%s holds no %s", g->name, name);
    return t;
}

static void *new_copy(qw_golden *g, const qw_tensor *t, size_t value_bytes, size_t *n)
{
    size_t count = qw_tensor_elements(t);
    assert_true(g->n_copies < MAX_COPIES);
    void *copy = malloc(count * value_bytes + 1);
    assert_non_null(copy);
    g->copies[g->n_copies++] = copy;
    if (n)
        *n = count;
    return copy;
}

static const qw_tensor *find_typed(qw_golden *g, const char *name, qw_type type)
{
    const qw_tensor *t = find(g, name);
    if (t->type != type)
        fail_msg("%s: %s is %s, not %s", g->name, name, t->dtype, qw_type_name(type));
    return t;
}

const float *golden_f32(qw_golden *g, const char *name, size_t *n)
{
    const qw_tensor *t = find(g, name);
    if (!qw_type_is_float(t->type))
        fail_msg("%s: %s is %s", g->name, name, t->dtype);
    float *copy = new_copy(g, t, sizeof *copy, n);
    qw_tensor_to_f32(t, copy);
    return copy;
}

const double *golden_f64(qw_golden *g, const char *name, size_t *n)
{
    const qw_tensor *t = find_typed(g, name, QW_TYPE_F64);
    return memcpy(new_copy(g, t, sizeof(double), n), t->data, t->n_bytes);
}

const int32_t *golden_i32(qw_golden *g, const char *name, size_t *n)
{
    const qw_tensor *t = find_typed(g, name, QW_TYPE_I32);
    return memcpy(new_copy(g, t, sizeof(int32_t), n), t->data, t->n_bytes);
}

const unsigned char *golden_bytes(qw_golden *g, const char *name, size_t *n)
{
    const qw_tensor *t = find(g, name);
    unsigned char *copy = new_copy(g, t, qw_type_block_bytes(t->type), NULL);
    if (n)
        *n = t->n_bytes;
    return memcpy(copy, t->data, t->n_bytes);
}

bool golden_has(qw_golden *g, const char *name) { return qw_weights_find(g->file, name) != NULL; }

size_t golden_dim(qw_golden *g, const char *name, int i)
{
    const qw_tensor *t = find(g, name);
    if (i < 0 || i >= t->n_dims)
        fail_msg("%s: %s has no dimension %d", g->name, name, i);
    return t->shape[i];
}

double golden_compare(const char *what, const float *got, const float *want, size_t n, double max_abs)
{
    double largest = 0, squares = 0, low = DBL_MAX, high = -DBL_MAX;
    size_t at = 0;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        bool same = got[i] == want[i] || (isnan(got[i]) && isnan(want[i]));
        double d = same ? 0 : fabs((double)got[i] - (double)want[i]);
        if (isnan(d))
            d = INFINITY;
        if (d > largest) {
            largest = d;
            at = i;
        }
        squares += d * d;
        low = want[i] < low ? (double)want[i] : low;
        high = want[i] > high ? (double)want[i] : high;
    }
    print_message("%s: largest difference %.3g at %zu (%.9g, wanted %.9g), rms %.3g, %zu values in [%.4g, %.4g]\n", what, largest, at,
                  (double)got[at], (double)want[at], sqrt(squares / (double)n), n, low, high);
    if (!(largest <= max_abs))
        fail_msg("%s: %.3g is beyond the tolerance of %.3g", what, largest, max_abs);
    return largest;
}

double golden_near(const char *what, const float *got, const float *want, size_t n, double max_relative)
{
    double squares = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        squares += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    const double relative = sqrt(squares / size);
    print_message("%s: relative difference %.2e\n", what, relative);
    if (!(relative <= max_relative))
        fail_msg("%s: the relative difference is %g, more than %g", what, relative, max_relative);
    return relative;
}
