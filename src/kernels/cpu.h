/* What this machine's processor can do, as levels of kernels. Thread-safe; no allocation. */
#ifndef QW_KERNELS_CPU_H
#define QW_KERNELS_CPU_H

#include "base/status.h"

#include <stdbool.h>

#define QW_LEVEL(name, text, arch) QW_CPU_##name,
typedef enum qw_cpu_level {
#include "kernels/levels.def"
    QW_CPU_LEVELS
} qw_cpu_level;
#undef QW_LEVEL

const char *qw_cpu_level_name(qw_cpu_level level);
/* Compiled in, and the processor and the operating system have what it needs. */
bool qw_cpu_can(qw_cpu_level level);
/* The best level, or the one that the environment variable QWREN_CPU names: E_ARGUMENT when there is no such level or this machine cannot run it. */
qwren_status qw_cpu_choose(qw_cpu_level *out, qwren_error *err);
/* The names of the levels that this machine can run, "portable avx2 avx512", in `text` [size]; returns text. */
const char *qw_cpu_list(char *text, size_t size);
/* The names of the instruction-set extensions that matter to kernels and that this machine has, likewise. */
const char *qw_cpu_features(char *text, size_t size);

#endif
