/* v16_body.h on level avx2. */
#define V16_TEST v16_test_avx2
#include "v16_body.h"
