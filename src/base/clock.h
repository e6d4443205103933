/* Monotonic time. */
#ifndef QW_BASE_CLOCK_H
#define QW_BASE_CLOCK_H

double qw_now_s(void); /* seconds since an arbitrary start; never goes back */

#endif
