/* The kernels of level avxvnni on processors that lack it: the same source with its two dot products made of AVX2 instructions, through the checks of
 * test_kernels_q8_levels.c. What this cannot see is the instruction itself, whose meaning is that of the functions below. */
int levels_main(void);
#define main levels_main
#include "test_kernels_q8_levels.c"
#undef main

#if defined(__AVX2__)
#  include <immintrin.h>

/* sum + a[4 i + k] * b[4 i + k], k < 4, of unsigned and signed bytes; nothing saturates */
static inline __m256i dpbusd(__m256i sum, __m256i a, __m256i b)
{
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
static inline __m256i dpwssd(__m256i sum, __m256i a, __m256i b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
#  define QW_DPBUSD dpbusd
#  define QW_DPWSSD dpwssd
#  define qw_q8_avxvnni qw_q8_avxvnni_emulated
#  include "kernels/x86/q8_avxvnni.c"

static void the_same_source_with_other_instructions(void **state)
{
    (void)state;
    if (!qw_cpu_can(QW_CPU_AVX2))
        skip();
    kernels = qw_kernels_of(QW_CPU_PORTABLE);
    qw_q8_avxvnni_emulated(&kernels);
    level = "avxvnni";
    all_products();
    all_quantize();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_same_source_with_other_instructions) };
    qw_rng_seed(&rng, 18);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) { return 0; }
#endif
