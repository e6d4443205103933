/* qwren bench: what is measured (bench_run.c), and how it is told (bench_report.c). */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "args.h"
#include "base/buf.h"
#include "base/energy.h"
#include "qwren.h"

#define BENCH_MOST_REPEATS 100
#define BENCH_KINDS 16 /* of operations: more than there are */
#define BENCH_MOST_ROWS (4 * CLI_MOST_WHOLES)

typedef enum bench_kind { BENCH_PREFILL, BENCH_DECODE, BENCH_IMAGE } bench_kind;

/* One measurement, many times. */
typedef struct bench_row {
    bench_kind kind;
    size_t tokens;                      /* PREFILL: of the prompt; DECODE: of each sequence; IMAGE: that the picture becomes */
    size_t depth, batch;                /* DECODE: tokens before, sequences at once; 0 and 1 otherwise */
    size_t edge, patches;               /* IMAGE */
    size_t n;                           /* samples */
    double samples[BENCH_MOST_REPEATS]; /* seconds */
    double prepare_s;                   /* IMAGE: of these, bringing the picture to size and cutting it */
    double first_s;                     /* of the run before the samples, which nothing was warm for */
    double joules;                      /* of all samples; NAN when nothing tells */
    double bytes, ops;                  /* that a sample must move and multiply at least; DECODE: bytes; PREFILL, IMAGE: ops */
    double spent[BENCH_KINDS];          /* --profile: seconds of a sample by kind of operation, the mean of all */
    uint64_t calls[BENCH_KINDS];
    bool is_float; /* what the ops are held against */
} bench_row;

typedef struct bench {
    const cli_args *args;
    size_t prompts[CLI_MOST_WHOLES], depths[CLI_MOST_WHOLES], batches[CLI_MOST_WHOLES], edges[CLI_MOST_WHOLES];
    size_t n_prompts, n_depths, n_batches, n_edges, n_decode, repeats;
    qwren_model *model;
    bool profile;
    qw_energy energy;
    bench_row rows[BENCH_MOST_ROWS];
    size_t n_rows;
    uint64_t session_bytes; /* of the largest set of sessions that lived together */
    double cold_s, warm_s;  /* opening the model: NAN when not measured; a made-up one: making it, in cold_s */
    uint64_t peak_bytes;    /* QW_NOT_KNOWN, or what the process held at most */
    qwren_cpu_info cpu;
    qwren_machine_speed machine;
} bench;

/* Adds the rows that are wanted. E_CANCELLED after Ctrl-C. */
qwren_status bench_run(bench *b, qwren_error *err);

/* qwren bench --spec: measures guessing ahead, and tells it, as text or JSON. */
qwren_status bench_spec(qw_buf *out, bench *b, qwren_error *err);

/* Median, and the largest distance of a sample from it as a part of it. */
double bench_median(const bench_row *r);
double bench_spread(const bench_row *r);
/* Tokens a second at the median, all sequences together. */
double bench_rate(const bench_row *r);
/* Shares of the machine's limits at the median; NAN where they say nothing. */
double bench_read_share(const bench *b, const bench_row *r);
double bench_peak_share(const bench *b, const bench_row *r);

/* The mean time of a sample, and what of it no operation explains. */
double bench_mean(const bench_row *r);
double bench_unexplained(const bench_row *r);

void bench_put_text(qw_buf *out, const bench *b);
void bench_put_json(qw_buf *out, const bench *b);
void bench_put_csv(qw_buf *out, const bench *b);

#endif
