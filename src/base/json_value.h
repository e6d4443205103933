/* What a JSON value looks like in memory. Private to json.c, json_parse.c and json_dump.c; everybody else sees json.h.
 *
 *   document ── root value
 *            ├─ arena: items of arrays, members of objects, indexes of large objects
 *            └─ strings: one block as long as the text, for all strings and long numbers (decoded they are never longer than spelt) */
#ifndef QW_BASE_JSON_VALUE_H
#define QW_BASE_JSON_VALUE_H

#include "base/arena.h"
#include "base/json.h"

struct qw_json {
    qw_json_kind kind;
    union {
        bool boolean;
        double real;
        struct {
            int64_t value;
            const char *digits;
        } integer; /* digits: NUL-terminated, only when it does not fit 64 bits, else NULL */
        struct {
            const char *text;
            size_t len;
        } string; /* NUL-terminated besides */
        struct {
            const qw_json *items;
            size_t n;
        } array;
        const struct qw_json_object *object;
    } as;
};

typedef struct qw_json_member {
    const char *key;
    size_t key_len;
    qw_json value;
} qw_json_member;

/* Open addressing over the members; a slot holds a member's number + 1, or 0. The seed is random: keys from outside cannot be made to
 * collide. */
typedef struct qw_json_index {
    uint64_t seed;
    size_t mask; /* slots - 1; slots are a power of two, at least twice the members */
    uint32_t slots[];
} qw_json_index;

typedef struct qw_json_object {
    size_t n;
    qw_json_index *index; /* NULL for small objects, which are searched from the front */
    qw_json_member members[];
} qw_json_object;

typedef struct qw_json_document {
    qw_json root; /* first, so that a root is its document */
    qw_arena arena;
    char *strings;
} qw_json_document;

/* The member with this key, or NULL. With an index, *slot (may be NULL) is where it stands or would stand. */
qw_json_member *qw_json_find(const qw_json_object *o, const char *key, size_t len, size_t *slot);

#endif
