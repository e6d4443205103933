/* v16_body.h on level avx512. */
#define V16_TEST v16_test_avx512
#include "v16_body.h"
