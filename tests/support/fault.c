/* The failing allocator (fault.h). Each piece carries its size in a header, so that bytes can be counted without a table. */
#include "support/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER 16 /* keeps malloc's alignment */

static atomic_size_t n_calls, n_failed, n_live, live_bytes, peak_bytes, fail_at;

/* Counts the call; true when it is the one that must fail. */
static bool must_fail(void)
{
    size_t now = atomic_fetch_add(&n_calls, 1) + 1;
    if (now != atomic_load(&fail_at))
        return false;
    atomic_fetch_add(&n_failed, 1);
    return true;
}

static void *note(unsigned char *raw, size_t size)
{
    if (!raw)
        return NULL;
    memcpy(raw, &size, sizeof size);
    atomic_fetch_add(&n_live, 1);
    size_t live = atomic_fetch_add(&live_bytes, size) + size, peak = atomic_load(&peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, live)) {
    }
    return raw + HEADER;
}

static unsigned char *forget(void *p)
{
    size_t size;
    unsigned char *raw = (unsigned char *)p - HEADER;
    memcpy(&size, raw, sizeof size);
    atomic_fetch_sub(&n_live, 1);
    atomic_fetch_sub(&live_bytes, size);
    return raw;
}

static void *fault_alloc(void *ctx, size_t size)
{
    (void)ctx;
    if (must_fail() || size > SIZE_MAX - HEADER)
        return NULL;
    return note(malloc(size + HEADER), size);
}

static void fault_free(void *ctx, void *p)
{
    (void)ctx;
    if (p)
        free(forget(p));
}

/* Always moves, so that a stale pointer is found by the sanitizer. */
static void *fault_realloc(void *ctx, void *p, size_t size)
{
    void *moved = fault_alloc(ctx, size);
    if (!moved || !p)
        return moved;
    size_t old;
    memcpy(&old, (unsigned char *)p - HEADER, sizeof old);
    memcpy(moved, p, old < size ? old : size);
    fault_free(ctx, p);
    return moved;
}

void fault_install(void)
{
    static const qwren_allocator ours = { fault_alloc, fault_realloc, fault_free, NULL };
    n_calls = n_failed = n_live = live_bytes = peak_bytes = fail_at = 0;
    qwren_set_allocator(&ours);
}

void fault_remove(void)
{
    qwren_set_allocator(NULL);
    if (n_live)
        fail_msg("%zu pieces (%zu bytes) were not given back", fault_live(), fault_live_bytes());
}

void fault_fail_at(size_t n) { atomic_store(&fail_at, n ? atomic_load(&n_calls) + n : 0); }

size_t fault_calls(void) { return atomic_load(&n_calls); }
size_t fault_failed(void) { return atomic_load(&n_failed); }
size_t fault_live(void) { return atomic_load(&n_live); }
size_t fault_live_bytes(void) { return atomic_load(&live_bytes); }
size_t fault_peak_bytes(void) { return atomic_load(&peak_bytes); }

/* One run with the n-th allocation failing; true when that allocation was reached. */
static bool one_run(fault_fn fn, void *ctx, size_t n)
{
    size_t failed = fault_failed(), live = fault_live();
    qwren_error err = { QWREN_OK, "" };
    fault_fail_at(n);
    qwren_status st = fn(ctx, &err);
    fault_fail_at(0);
    bool met = fault_failed() != failed;
    if (st != (met ? QWREN_E_MEMORY : QWREN_OK))
        fail_msg("allocation %zu %s, yet the status is %s (%s)", n, met ? "failed" : "was never reached", qwren_status_name(st), err.text);
    if (met && (err.code != QWREN_E_MEMORY || err.text[0] == '\0'))
        fail_msg("allocation %zu failed: no sentence says so (%s: %s)", n, qwren_status_name(err.code), err.text);
    if (fault_live() != live)
        fail_msg("allocation %zu of the run failed: %zu pieces leaked", n, fault_live() - live);
    return met;
}

size_t fault_try_all(fault_fn fn, void *ctx, size_t step)
{
    size_t runs = 0;
    while (one_run(fn, ctx, 1 + runs * step))
        runs++;
    return runs;
}
