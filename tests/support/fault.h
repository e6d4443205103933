/* An allocator for tests: counts every call, makes the n-th one fail, and knows what was not given back. One at a time in a
 * process (the library's allocator is process-wide); safe with threads. */
#ifndef QW_TESTS_FAULT_H
#define QW_TESTS_FAULT_H

#include <stddef.h>

#include "qwren.h"

/* From here on the library's heap is counted; all counters are zero and nothing fails. */
void fault_install(void);
/* Back to malloc. Everything taken since fault_install() must have been given back: the test fails otherwise. */
void fault_remove(void);

/* The n-th allocation from now fails (1 = the next), and only that one. 0: none fails. */
void fault_fail_at(size_t n);

size_t fault_calls(void);  /* allocations and reallocations since fault_install() */
size_t fault_failed(void); /* how many of them were made to fail */
size_t fault_live(void);   /* pieces not yet given back */
size_t fault_live_bytes(void);
size_t fault_peak_bytes(void);

/* Runs fn with the 1st, then the (1 + step)-th, ... allocation failing, until a run needs fewer. Each run that met the failure must
 * return QWREN_E_MEMORY with a sentence, each run must give back all it took, and the last run, which met none, must return QWREN_OK. Returns the number of runs
 * that met a failure. Must be called between fault_install() and fault_remove(). */
typedef qwren_status (*fault_fn)(void *ctx, qwren_error *err);
size_t fault_try_all(fault_fn fn, void *ctx, size_t step);

#endif
