/* check [--level NAME] [--slot NAME] [--rounds N] [--seed N] [--bench]: see check.h. Prints a line for each slot and level; exit status 1 when one differs. */
#include "check.h"

#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GUARD 64  /* bytes before every piece of memory, at least */
#define PIECES 64 /* of one run */
#define GUARD_BYTE 0xA5

/* Pages of their own. Behind them is one that nobody may touch, and before it fewer than 64 bytes of guard values. */
static struct piece {
    unsigned char *base, *begin, *end, *last; /* of the pages; of the piece; of the pages that may be touched */
} pieces[PIECES];
static int n_pieces;

static struct options {
    const char *level, *slot;
    int rounds;
    uint64_t seed;
    bool bench;
} options = { .rounds = 25, .seed = 1 };

static int n_checked, n_failed;

/* ---- memory and numbers */

void *check_alloc(check_run *r, size_t bytes, size_t off)
{
    (void)r;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), all = (GUARD + 64 + bytes + page - 1) / page * page;
    unsigned char *base =
        n_pieces < PIECES ? mmap(NULL, all + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (base == MAP_FAILED || mprotect(base + all, page, PROT_NONE)) {
        fprintf(stderr, "check: no memory\n");
        exit(1);
    }
    const size_t slack = off ? off - 1 : (64 - bytes % 64) % 64;
    struct piece *p = &pieces[n_pieces++];
    *p = (struct piece){ base, base + all - slack - bytes, base + all - slack, base + all };
    memset(p->begin - GUARD, GUARD_BYTE, GUARD);
    memset(p->begin, GUARD_BYTE, bytes);
    memset(p->end, GUARD_BYTE, slack);
    return p->begin;
}

float *check_floats(check_run *r, size_t n)
{
    float *p = check_alloc(r, n * sizeof *p, 0);
    for (size_t i = 0; i < n; i++)
        p[i] = check_normal(r);
    return p;
}

float *check_output(check_run *r, size_t n)
{
    r->out = check_alloc(r, n * sizeof *r->out, 0);
    memset(r->out, 0, n * sizeof *r->out);
    r->n_out = n;
    return r->out;
}

size_t check_between(check_run *r, size_t low, size_t high) { return low + qw_rng_u32(&r->rng) % (high - low + 1); }

float check_normal(check_run *r)
{
    return (float)(sqrt(-2 * log(1 - qw_rng_double(&r->rng))) * cos(6.283185307179586 * qw_rng_double(&r->rng)));
}

static bool guards_hold(void)
{
    for (const struct piece *p = pieces; p < pieces + n_pieces; p++) {
        for (const unsigned char *b = p->begin - GUARD; b < p->begin; b++)
            if (*b != GUARD_BYTE)
                return false;
        for (const unsigned char *b = p->end; b < p->last; b++)
            if (*b != GUARD_BYTE)
                return false;
    }
    return true;
}

static void free_pieces(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (; n_pieces; n_pieces--) {
        const struct piece *p = &pieces[n_pieces - 1];
        munmap(p->base, (size_t)(p->last - p->base) + page);
    }
}

static const check_case *running;
static qw_cpu_level running_on;

/* The page behind a piece was touched. */
static void on_fault(int signal)
{
    (void)signal;
    char text[256];
    const int n = snprintf(text, sizeof text, "%-14s %-24s %-11s FAIL  memory behind an array was touched\n", running ? running->slot : "",
                           running ? running->what : "", qw_cpu_level_name(running_on));
    _exit(write(STDOUT_FILENO, text, (size_t)n) < 0 ? 2 : 1);
}

/* ---- one slot on one level */

static void make(const check_case *c, check_run *r, bool large, uint64_t seed)
{
    *r = (check_run){ .large = large, .param = c->param };
    qw_rng_seed(&r->rng, seed);
    c->make(r);
}

/* The largest difference, as a share of the largest value; infinite when one is a number and the other is not. */
static double difference(const float *got, const float *want, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) == 0 || (isnan(got[i]) && isnan(want[i])))
            continue;
        if (!isfinite(got[i]) || !isfinite(want[i]))
            return INFINITY;
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    }
    for (size_t i = 0; worst > 0 && i < n; i++)
        if (isfinite(want[i]))
            largest = fmax(largest, fabs((double)want[i]));
    return worst > 0 ? fmax(worst / fmax(largest, 1e-30), 1e-30) : 0;
}

/* The same inputs twice: plain C and the level. */
static double compare(const check_case *c, const qw_kernels *plain, const qw_kernels *level, uint64_t seed, bool *guarded)
{
    check_run r;
    make(c, &r, false, seed);
    c->run(plain, &r);
    const size_t n = r.n_out;
    float *want = malloc(n * sizeof *want + 1);
    memcpy(want, r.out, n * sizeof *want);
    free_pieces();
    make(c, &r, false, seed);
    c->run(level, &r);
    const double d = difference(r.out, want, n);
    *guarded = guards_hold();
    free_pieces();
    free(want);
    return d;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one run; small ones are repeated, so that looking at the clock costs nothing. */
static double seconds(const check_case *c, const qw_kernels *k, check_run *r, int repeats)
{
    const double t = cpu_seconds();
    for (int i = 0; i < repeats; i++)
        c->run(k, r);
    return (cpu_seconds() - t) / repeats;
}

/* Work per second of the large shape: the best of several runs. */
static double speed(const check_case *c, const qw_kernels *k)
{
    check_run r;
    make(c, &r, true, 1);
    const double first = seconds(c, k, &r, 1), begin = cpu_seconds();
    const int repeats = first < 50e-6 ? (int)(100e-6 / (first + 1e-7)) : 1;
    double best = first;
    for (int i = 0; i < 3 || (i < 200 && cpu_seconds() - begin < 0.25); i++)
        best = fmin(best, seconds(c, k, &r, repeats));
    free_pieces();
    return r.work / best;
}

static void check(const check_case *c, qw_cpu_level l, const qw_kernels *plain, double plain_speed)
{
    const qw_kernels k = qw_kernels_of(l);
    double worst = 0;
    bool guarded = true;
    if (c->here && !c->here(&k, c->param))
        return;
    running = c;
    running_on = l;
    for (int i = 0; i < options.rounds; i++) {
        bool held;
        worst = fmax(worst, compare(c, plain, &k, options.seed + (uint64_t)i, &held));
        guarded = guarded && held;
    }
    const bool good = worst <= c->limit && guarded;
    n_checked++;
    n_failed += !good;
    printf("%-14s %-24s %-11s %s  difference %.1e of %.1e%s", c->slot, c->what, qw_cpu_level_name(l), good ? "ok  " : "FAIL", worst,
           c->limit, guarded ? "" : ", written outside");
    if (options.bench) {
        const double now = speed(c, &k);
        printf("  %8.2f %-8s %6.1f x", now, c->unit, now / plain_speed);
    }
    putchar('\n');
    fflush(stdout);
}

static void check_table(const check_case *c)
{
    const qw_kernels plain = qw_kernels_of(QW_CPU_PORTABLE);
    for (; c->slot; c++) {
        if (options.slot && strcmp(options.slot, c->slot) != 0)
            continue;
        const double plain_speed = options.bench ? speed(c, &plain) : 0;
        for (qw_cpu_level l = QW_CPU_PORTABLE; l < QW_CPU_LEVELS; l++)
            if (qw_cpu_can(l) && (!options.level || strcmp(options.level, qw_cpu_level_name(l)) == 0))
                check(c, l, &plain, plain_speed);
    }
}

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0) {
            options.bench = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--level") == 0)
            options.level = value;
        else if (strcmp(argv[i], "--slot") == 0)
            options.slot = value;
        else if (strcmp(argv[i], "--rounds") == 0)
            options.rounds = atoi(value);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoull(value, NULL, 10);
        else
            return false;
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    char text[128];
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: check [--level NAME] [--slot NAME] [--rounds N] [--seed N] [--bench]\n");
        return 2;
    }
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    printf("levels of this processor: %s\n", qw_cpu_list(text, sizeof text));
    check_table(check_q8_cases);
    check_table(check_float_cases);
    check_table(check_mix_cases);
    check_table(check_attn_cases);
    printf("%d checked, %d failed\n", n_checked, n_failed);
    return n_failed > 0 || n_checked == 0;
}
