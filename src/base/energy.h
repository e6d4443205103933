/* How much energy the machine has used: the processor's own counters (RAPL, where this process may read them), or a battery that says what
 * is drawn from it. */
#ifndef QW_BASE_ENERGY_H
#define QW_BASE_ENERGY_H

#define QW_ENERGY_MOST 8 /* packages, or batteries */

typedef enum qw_energy_source { QW_ENERGY_NONE, QW_ENERGY_RAPL, QW_ENERGY_BATTERY } qw_energy_source;

typedef struct qw_energy {
    qw_energy_source source;
    const char *root; /* borrowed */
    int n;
    char folders[QW_ENERGY_MOST][96];
} qw_energy;

typedef struct qw_energy_reading {
    double seconds;                /* on the clock */
    double values[QW_ENERGY_MOST]; /* RAPL: microjoules so far; battery: microwatts now; NAN when it could not be read */
} qw_energy_reading;

/* `root` is "" on a real machine, or a folder that holds sys/ of a made-up one. RAPL goes before batteries; a battery counts while it is
 * discharged. */
void qw_energy_find(qw_energy *out, const char *root);
void qw_energy_read(const qw_energy *e, qw_energy_reading *out);
/* Joules between two readings: the difference of the counters, or the time at the mean of both powers. NAN without a source. */
double qw_energy_between(const qw_energy *e, const qw_energy_reading *before, const qw_energy_reading *after);

#endif
