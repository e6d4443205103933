/* How many rounds of n a build makes. A sanitizer, which takes ten times as long, looks at how memory is used, and a quarter of them shows that as well; that all agree
 * is what the plain build looks at. */
#ifndef QW_TESTS_ROUNDS_H
#define QW_TESTS_ROUNDS_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#  define QW_ROUNDS(n) (((n) + 3) / 4)
#else
#  define QW_ROUNDS(n) (n)
#endif

#endif
