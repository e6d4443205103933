/* How long a long session takes to open: against reading its file, and against computing it. Uses the public API alone; README.md says how
 * to build it.
 *   restore [SHAPE [TOKENS]]      a made-up model ("0.8B"); TOKENS are computed up to 512 and repeated behind that, which takes the same
 * bytes */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "qwren.h"

#define COMPUTED 512
#define FILE_NAME "restore.session"

static qwren_error err;

static void ok(qwren_status st)
{
    if (st != QWREN_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

typedef struct times {
    double wall, cpu;
} times;

static times now(void)
{
    struct timespec t;
    struct rusage u;
    clock_gettime(CLOCK_MONOTONIC, &t);
    getrusage(RUSAGE_SELF, &u);
    return (times){ (double)t.tv_sec + (double)t.tv_nsec * 1e-9,
                    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6 };
}

static void tell(const char *what, times begin)
{
    const times end = now();
    printf("%-34s %8.1f ms, %8.1f ms of processor\n", what, (end.wall - begin.wall) * 1e3, (end.cpu - begin.cpu) * 1e3);
}

static long read_file(void)
{
    static char piece[1 << 20];
    FILE *f = fopen(FILE_NAME, "rb");
    long n = 0;
    for (size_t got; f && (got = fread(piece, 1, sizeof piece, f)) > 0;)
        n += (long)got;
    if (f)
        fclose(f);
    return n;
}

/* The system drops what it keeps of the file, which is on the disk already. */
static void forget_file(void)
{
    const int fd = open(FILE_NAME, O_RDONLY);
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

static qwren_session *new_session(const qwren_model *m, size_t n)
{
    qwren_session_options opt = qwren_session_options_default();
    qwren_session *s;
    opt.n_ctx = n;
    ok(qwren_session_create(&s, m, &opt, &err));
    return s;
}

int main(int argc, char **argv)
{
    const size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) / COMPUTED * COMPUTED : 19 * COMPUTED;
    qwren_model_options opt = qwren_model_options_default();
    qwren_model *m;
    int32_t ids[COMPUTED];
    opt.cache_bytes = 1;
    ok(qwren_model_random(&m, argc > 1 ? argv[1] : "0.8B", NULL, &opt, &err));
    for (int i = 0; i < COMPUTED; i++)
        ids[i] = i * 7919 % 100000;
    qwren_session *s = new_session(m, n);
    times t = now();
    ok(qwren_session_eval(s, ids, COMPUTED, NULL, 0, NULL, NULL, &err));
    tell("computing 512 tokens", t);
    ok(qwren_session_stretch(s, n, &err));
    unlink(FILE_NAME);
    t = now();
    ok(qwren_session_save(s, FILE_NAME, &err));
    tell("saving", t);
    qwren_session_free(s);
    printf("%zu tokens, %.1f MB\n", n, (double)read_file() * 1e-6);
    for (int i = 0; i < 6; i++) {
        const bool cold = i >= 3;
        if (cold)
            forget_file();
        t = now();
        read_file();
        tell(cold ? "reading the file from the disk" : "reading the file", t);
        s = new_session(m, n);
        if (cold)
            forget_file();
        t = now();
        ok(qwren_session_load(s, FILE_NAME, &err));
        tell(cold ? "loading the session from the disk" : "loading the session", t);
        qwren_session_free(s);
    }
    unlink(FILE_NAME);
    qwren_model_close(m);
    return 0;
}
