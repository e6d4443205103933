/* Where does a JSON object end, byte by byte: a checker that keeps no values. It says BAD at the first byte that no JSON object
 * can have, so that a search through text with many false beginnings stays linear. Private to src/text. */
#ifndef QW_TEXT_JSONSCAN_H
#define QW_TEXT_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QW_JSONSCAN_DEPTH 256 /* deeper nesting is BAD */

typedef struct qw_jsonscan {
    uint8_t state, literal, escape; /* see jsonscan.c */
    bool is_key;                    /* the string at hand is a member's name */
    size_t depth;
    bool in_object[QW_JSONSCAN_DEPTH]; /* what each open bracket opened */
} qw_jsonscan;

typedef enum qw_jsonscan_result { QW_JSONSCAN_MORE, QW_JSONSCAN_DONE, QW_JSONSCAN_BAD } qw_jsonscan_result;

void qw_jsonscan_init(qw_jsonscan *j);
/* The next byte; the first must be '{'. DONE comes with the object's closing brace. */
qw_jsonscan_result qw_jsonscan_push(qw_jsonscan *j, unsigned char c);

#endif
