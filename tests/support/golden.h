/* Stored values of the reference implementation: safetensors files under tests/golden/data. Everything that goes wrong fails the running test. */
#ifndef QW_TESTS_GOLDEN_H
#define QW_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qw_golden qw_golden;

qw_golden *golden_open(const char *name); /* below tests/golden/data: "text/tiny-a/ref.safetensors" */
void golden_close(qw_golden *g);

/* Copies, aligned, that live until golden_close(). *n (may be NULL) is the number of values. Floats of 16 and 32 bits come as float. */
const float *golden_f32(qw_golden *g, const char *name, size_t *n);
const double *golden_f64(qw_golden *g, const char *name, size_t *n);
const int32_t *golden_i32(qw_golden *g, const char *name, size_t *n);
/* The bytes of a tensor of any type, as they stand in the file. */
const unsigned char *golden_bytes(qw_golden *g, const char *name, size_t *n);
bool golden_has(qw_golden *g, const char *name);
size_t golden_dim(qw_golden *g, const char *name, int i); /* size of dimension i, outermost first */

/* Prints the largest difference, where it is, the root of the mean square, and the range of the wanted values; the test fails when the largest
 * is beyond max_abs or a number is missing (NaN on one side only). Returns the largest difference. */
double golden_compare(const char *what, const float *got, const float *want, size_t n, double max_abs);
/* The same for arithmetic that rounds: the root of the mean square of the differences over that of the wanted values may be max_relative. Returns it. */
double golden_near(const char *what, const float *got, const float *want, size_t n, double max_relative);

#endif
