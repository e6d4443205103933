/* Time that passes, and time that is used. */
#ifndef QW_BASE_CLOCK_H
#define QW_BASE_CLOCK_H

double qw_now_s(void); /* seconds since an arbitrary start; never goes back */
double qw_cpu_s(void); /* seconds that this process's threads have computed, all of them together */

#endif
