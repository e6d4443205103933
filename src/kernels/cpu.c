/* Which levels this processor can run. x86: cpuid, and xgetbv for what the operating system saves; Arm: hwcaps. Tested by tests/unit/test_kernels_cpu.c. */
#include "kernels/cpu.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#  include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#  include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#  include <sys/sysctl.h>
#endif

enum { ANY, X86, ARM };

static const struct {
    const char *name;
    int arch;
} levels[] = {
#define QW_LEVEL(name, text, arch) [QW_CPU_##name] = { text, arch },
#include "kernels/levels.def"
#undef QW_LEVEL
};

const char *qw_cpu_level_name(qw_cpu_level level) { return levels[level].name; }

#if defined(__x86_64__)
#  define THIS_ARCH X86

/* Bit `bit` of register `reg` (0 eax, 1 ebx, 2 ecx, 3 edx) of a cpuid leaf. */
static bool has(unsigned leaf, unsigned subleaf, int reg, int bit)
{
    unsigned r[4];
    return __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) && (r[reg] >> bit & 1);
}

/* The register files that the operating system saves: XCR0. */
static uint64_t saved(void)
{
    if (!has(1, 0, 2, 27)) /* OSXSAVE */
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool processor_can(qw_cpu_level level)
{
    const bool ymm = (saved() & 0x06) == 0x06, zmm = (saved() & 0xE6) == 0xE6;
    const bool avx2 = ymm && has(1, 0, 2, 12) && has(1, 0, 2, 29) && has(7, 0, 1, 5) && has(7, 0, 1, 8); /* FMA, F16C, AVX2, BMI2 */
    const bool avx512 = avx2 && zmm && has(7, 0, 1, 16) && has(7, 0, 1, 17) && has(7, 0, 1, 30) && has(7, 0, 1, 31) && /* F, DQ, BW, VL */
                        has(7, 0, 2, 1) && has(7, 0, 2, 11);                                                           /* VBMI, VNNI */
    switch (level) {
    case QW_CPU_AVX2: return avx2;
    case QW_CPU_AVXVNNI: return avx2 && has(7, 1, 0, 4);
    case QW_CPU_AVX512: return avx512;
    case QW_CPU_AVX512BF16: return avx512 && has(7, 1, 0, 5);
    default: return level == QW_CPU_PORTABLE;
    }
}

/* avx512 as a word stands for F, BW, DQ and VL, which come together. */
static const struct {
    const char *name;
    unsigned leaf, subleaf;
    int reg, bit;
} features[] = {
    { "avx", 1, 0, 2, 28 },        { "f16c", 1, 0, 2, 29 },      { "fma", 1, 0, 2, 12 },        { "avx2", 7, 0, 1, 5 },
    { "bmi2", 7, 0, 1, 8 },        { "avxvnni", 7, 1, 0, 4 },    { "avx512", 7, 0, 1, 30 },     { "avx512vbmi", 7, 0, 2, 1 },
    { "avx512vnni", 7, 0, 2, 11 }, { "avx512bf16", 7, 1, 0, 5 }, { "avx512fp16", 7, 0, 3, 23 }, { "amx-int8", 7, 0, 3, 25 },
};
#  define N_FEATURES (sizeof features / sizeof *features)
static bool has_feature(size_t i) { return has(features[i].leaf, features[i].subleaf, features[i].reg, features[i].bit); }

#elif defined(__aarch64__)
#  define THIS_ARCH ARM

#  if defined(__linux__)
#    define HWCAP_DOTPROD (1UL << 20)
#    define HWCAP2_I8MM_BIT (1UL << 13)
static const struct {
    const char *name;
    unsigned long hwcap, hwcap2;
} features[] = {
    { "fp16", 1UL << 10, 0 }, { "dotprod", HWCAP_DOTPROD, 0 }, { "sve", 1UL << 22, 0 },
    { "sve2", 0, 1UL << 1 },  { "i8mm", 0, HWCAP2_I8MM_BIT },  { "bf16", 0, 1UL << 14 },
};
#    define N_FEATURES (sizeof features / sizeof *features)
static bool has_feature(size_t i) { return (getauxval(AT_HWCAP) & features[i].hwcap) || (getauxval(AT_HWCAP2) & features[i].hwcap2); }
static bool processor_can(qw_cpu_level level)
{
    const bool dotprod = getauxval(AT_HWCAP) & HWCAP_DOTPROD, i8mm = getauxval(AT_HWCAP2) & HWCAP2_I8MM_BIT;
    return level == QW_CPU_PORTABLE || (level == QW_CPU_NEON && dotprod) || (level == QW_CPU_I8MM && dotprod && i8mm);
}
#  elif defined(__APPLE__)
static bool feature(const char *name)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value;
}
static const struct {
    const char *name, *key;
} features[] = { { "fp16", "hw.optional.arm.FEAT_FP16" },
                 { "dotprod", "hw.optional.arm.FEAT_DotProd" },
                 { "i8mm", "hw.optional.arm.FEAT_I8MM" },
                 { "bf16", "hw.optional.arm.FEAT_BF16" } };
#    define N_FEATURES (sizeof features / sizeof *features)
static bool has_feature(size_t i) { return feature(features[i].key); }
static bool processor_can(qw_cpu_level level)
{
    const bool dotprod = feature("hw.optional.arm.FEAT_DotProd"), i8mm = feature("hw.optional.arm.FEAT_I8MM");
    return level == QW_CPU_PORTABLE || (level == QW_CPU_NEON && dotprod) || (level == QW_CPU_I8MM && dotprod && i8mm);
}
#  else
static bool processor_can(qw_cpu_level level) { return level == QW_CPU_PORTABLE; }
#  endif

#else
#  define THIS_ARCH ANY
static bool processor_can(qw_cpu_level level) { return level == QW_CPU_PORTABLE; }
#endif

bool qw_cpu_can(qw_cpu_level level) { return (levels[level].arch == ANY || levels[level].arch == THIS_ARCH) && processor_can(level); }

const char *qw_cpu_list(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++)
        if (qw_cpu_can(l) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", levels[l].name);
    return text;
}

const char *qw_cpu_features(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
#if defined(N_FEATURES)
    for (size_t i = 0; i < N_FEATURES; i++)
        if (has_feature(i) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", features[i].name);
#endif
    (void)used;
    (void)size;
    return text;
}

qwren_status qw_cpu_choose(qw_cpu_level *out, qwren_error *err)
{
    const char *wanted = getenv("QWREN_CPU");
    char text[128];
    *out = QW_CPU_PORTABLE;
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++) {
        if (!qw_cpu_can(l))
            continue;
        if (wanted && *wanted && strcmp(wanted, levels[l].name) == 0) {
            *out = l;
            return QWREN_OK;
        }
        *out = l;
    }
    if (!wanted || !*wanted)
        return QWREN_OK;
    return qw_fail(
        err, QWREN_E_ARGUMENT,
        "the environment variable QWREN_CPU is \"%.40s\"; this machine can run: %s; set it to one of these, or unset it for the last",
        wanted, qw_cpu_list(text, sizeof text));
}
